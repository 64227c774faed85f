//! Starts a process for each ECS task that the emulator says is running, and stops it when the emulator says so.
//!
//! The emulator keeps the books of ECS and runs nothing. This is the missing half: it reads the books through the ECS
//! API, starts the worker of a new task, signals the worker of a stopped one (SIGTERM, then SIGKILL after the task
//! definition's stop time-out), and reports a worker that ended by itself. What to do is decided by `plan`, a pure
//! function over both lists; this file carries it out.
//!
//! The emulator ignores `RunTask`'s client token: a launch asked for twice makes two tasks. Both workers start; the
//! second finds nothing to claim and ends by itself.
//!
//! The loop has a thread of its own. Workers ask the kernel to be killed when the *thread* that started them ends, so
//! none outlives the launcher, not even after a SIGKILL.
//!
//! It must never touch a process that it did not start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use isotherm_types::disposition::error_chain;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::aws::LocalAws;
use crate::error::LocalStackError;
use crate::names;

mod plan;
mod process;
mod tasks;

use plan::{Action, Standing};
use process::TaskProcess;
use tasks::Tasks;

/// Where programs are and logs go.
#[derive(Clone, Debug)]
pub struct LauncherOptions {
    /// The worker's program.
    pub worker: PathBuf,
    /// Folder of the operators' programs, `operator-<key>`.
    pub programs: PathBuf,
    /// Folder with what lies beside an operator in its image, of each that has something there.
    pub bundles: BTreeMap<String, PathBuf>,
    /// Folder for logs, `<operator>-<task id>.log`.
    pub logs: PathBuf,
    /// Name of the ECS cluster.
    pub cluster: String,
    /// Pause between two looks at the emulator.
    pub poll_interval: Duration,
}

/// How long tasks may take to stop with the launcher, unless their own time-out is shorter.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(25);

/// How long the emulator may take to note that all tasks are stopped.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    Stop,
    Kill,
}

/// The running launcher. Dropping it kills its workers; [`EcsLauncher::stop`] lets them finish.
#[derive(Debug)]
pub struct EcsLauncher {
    orders: watch::Sender<Order>,
    ended: Option<oneshot::Receiver<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl EcsLauncher {
    /// Starts the launcher for the account of `aws`.
    ///
    /// # Errors
    /// [`LocalStackError::Io`] if the folder for logs or the thread cannot be made.
    pub fn start(aws: &LocalAws, options: LauncherOptions) -> Result<Self, LocalStackError> {
        Self::start_behind(aws, options, Vec::new())
    }

    /// As [`EcsLauncher::start`]; each task has the variables `more` besides, such as those of the [way out](crate::egress).
    ///
    /// # Errors
    /// As [`EcsLauncher::start`].
    pub fn start_behind(
        aws: &LocalAws,
        options: LauncherOptions,
        more: Vec<(String, String)>,
    ) -> Result<Self, LocalStackError> {
        std::fs::create_dir_all(&options.logs).map_err(LocalStackError::io("create", &options.logs))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LocalStackError::io("start the launcher of", &options.worker))?;
        let (orders, received) = watch::channel(Order::Run);
        let (announce, ended) = oneshot::channel();
        let worker = options.worker.clone();
        let aws = aws.clone();
        let run = move || {
            runtime.block_on(async {
                // Connections belong to the runtime that opened them.
                let aws = aws.reconnected().await;
                Launcher::new(aws, options, more).run(received).await;
            });
            // Nobody may be waiting any more.
            let _ = announce.send(());
        };
        let thread = std::thread::Builder::new()
            .name("ecs-launcher".to_owned())
            .spawn(run)
            .map_err(LocalStackError::io("start the launcher of", worker))?;
        Ok(Self { orders, ended: Some(ended), thread: Some(thread) })
    }

    /// Asks every worker to stop, waits at most [`SHUTDOWN_GRACE`], kills what is left, and reports all tasks stopped.
    pub async fn stop(mut self) {
        self.orders.send_replace(Order::Stop);
        if let Some(ended) = self.ended.take() {
            // An error means that the thread is gone already.
            let _ = ended.await;
        }
    }
}

impl Drop for EcsLauncher {
    fn drop(&mut self) {
        // After `stop` the thread has ended and this order reaches nobody.
        self.orders.send_replace(Order::Kill);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ECS launcher panicked; its workers were killed");
        }
    }
}

/// What the launcher knows of a task.
enum Slot {
    Running(Box<TaskProcess>),
    /// Its worker is gone, and the emulator has not been told yet.
    Ended(String),
    /// The emulator lists it, but there is nothing to start.
    Ignored,
}

struct Launcher {
    options: LauncherOptions,
    aws: LocalAws,
    /// Variables of every task besides those of AWS.
    more: Vec<(String, String)>,
    tasks: Tasks,
    slots: BTreeMap<String, Slot>,
    is_cut_off: bool,
}

impl Launcher {
    fn new(aws: LocalAws, options: LauncherOptions, more: Vec<(String, String)>) -> Self {
        let tasks = Tasks::new(aws.ecs(), &options.cluster);
        Self { options, aws, more, tasks, slots: BTreeMap::new(), is_cut_off: false }
    }

    async fn run(mut self, mut orders: watch::Receiver<Order>) {
        while *orders.borrow_and_update() == Order::Run {
            // An order also ends a look at an emulator that hangs.
            tokio::select! {
                looked = self.look() => self.note(looked),
                _ = orders.changed() => continue,
            }
            // A closed channel cannot come before the order to kill.
            let _ = tokio::time::timeout(self.options.poll_interval, orders.changed()).await;
        }
        let grace = if *orders.borrow() == Order::Stop { SHUTDOWN_GRACE } else { Duration::ZERO };
        self.shut_down(grace, &mut orders).await;
    }

    fn note(&mut self, looked: Result<(), LocalStackError>) {
        match looked {
            Ok(()) => self.is_cut_off = false,
            // Once an outage, not five times a second.
            Err(error) if !self.is_cut_off => {
                self.is_cut_off = true;
                tracing::warn!(error = error_chain(&error), "the ECS launcher cannot reach the emulator");
            }
            Err(_) => {}
        }
    }

    /// One look at both lists, and what follows from it. May be given up at any wait: a worker is in `slots` as soon
    /// as it exists.
    async fn look(&mut self) -> Result<(), LocalStackError> {
        let listed = self.tasks.list_running().await?;
        for slot in self.slots.values_mut() {
            slot.update();
        }
        let now = Instant::now();
        let standings = self.slots.iter().map(|(arn, slot)| (arn.clone(), slot.standing(now))).collect();
        for (arn, action) in plan::plan(&listed, &standings) {
            self.carry_out(&arn, action).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, arn: &str, action: Action) -> Result<(), LocalStackError> {
        match action {
            Action::Start => {
                let slot = self.start(arn).await?;
                self.slots.insert(arn.to_owned(), slot);
            }
            Action::Terminate => {
                if let Some(Slot::Running(process)) = self.slots.get_mut(arn) {
                    process.terminate(process.stop_timeout());
                }
            }
            Action::Kill => {
                if let Some(Slot::Running(process)) = self.slots.get_mut(arn) {
                    process.kill();
                }
            }
            Action::Report => {
                if let Some(Slot::Ended(reason)) = self.slots.get(arn) {
                    self.tasks.stop(arn, reason).await?;
                }
                self.slots.remove(arn);
            }
            Action::Forget => {
                self.slots.remove(arn);
            }
        }
        Ok(())
    }

    async fn start(&mut self, arn: &str) -> Result<Slot, LocalStackError> {
        let Some(launch) = self.tasks.describe(arn).await? else { return Ok(Slot::Ignored) };
        let variable = |name: &str| launch.variables.get(name).cloned();
        let (operator, program) = match (variable("ISOTHERM_OPERATOR"), variable(names::ERRAND_VARIABLE)) {
            (Some(operator), _) => (operator, self.options.worker.clone()),
            (None, Some(errand)) => {
                let program = self.options.programs.join(format!("operator-{errand}"));
                (errand, program)
            }
            (None, None) => {
                let reason = "its task definition sets neither ISOTHERM_OPERATOR nor ISOTHERM_ERRAND";
                return Ok(Slot::Ended(reason.to_owned()));
            }
        };
        let mut variables = self.aws.variables_of(&names::operator_role(&operator));
        variables.extend(self.more.iter().cloned());
        match TaskProcess::start(&operator, &program, launch, &variables, &self.options) {
            Ok(process) => {
                tracing::info!(ecs.task = arn, operator, pid = process.pid().as_raw(), "worker started");
                Ok(Slot::Running(Box::new(process)))
            }
            Err(error) => {
                let reason = error_chain(&error);
                tracing::error!(ecs.task = arn, operator, error = reason, "worker not started");
                Ok(Slot::Ended(reason))
            }
        }
    }

    /// Stops all workers, then reports them.
    async fn shut_down(mut self, grace: Duration, orders: &mut watch::Receiver<Order>) {
        for slot in self.slots.values_mut() {
            if let Slot::Running(process) = slot {
                process.terminate(process.stop_timeout().min(grace));
            }
        }
        while self.slots.values().any(|slot| matches!(slot, Slot::Running(_))) {
            for slot in self.slots.values_mut() {
                let is_due = slot.standing(Instant::now()) == Standing::Stopping { is_due: true };
                if let Slot::Running(process) = slot
                    && (is_due || *orders.borrow() == Order::Kill)
                {
                    process.kill();
                }
                slot.update();
            }
            // Woken early by the order to kill; otherwise this is the pause between two looks.
            let _ = tokio::time::timeout(Duration::from_millis(20), orders.changed()).await;
        }
        if grace.is_zero() {
            return;
        }
        let reports = async {
            for (arn, slot) in &self.slots {
                if let Slot::Ended(reason) = slot {
                    self.tasks.stop(arn, reason).await?;
                }
            }
            Ok::<_, LocalStackError>(())
        };
        match tokio::time::timeout(REPORT_TIMEOUT, reports).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = error_chain(&error), "stopped tasks not reported"),
            Err(_) => tracing::warn!("stopped tasks not reported in time"),
        }
    }
}

impl Slot {
    /// Notices that the worker has ended.
    fn update(&mut self) {
        if let Self::Running(process) = self
            && let Some(reason) = process.end()
        {
            tracing::info!(pid = process.pid().as_raw(), reason, "worker ended");
            *self = Self::Ended(reason);
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        match self {
            Self::Running(process) => match process.stop_deadline() {
                None => Standing::Running,
                Some(deadline) => Standing::Stopping { is_due: now >= deadline },
            },
            Self::Ended(_) => Standing::Ended,
            Self::Ignored => Standing::Ignored,
        }
    }
}

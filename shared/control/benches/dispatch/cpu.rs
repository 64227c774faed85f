//! Processor time, from `/proc`. Source: proc(5), `/proc/pid/stat`; the clock tick of Linux is 1/100 s.

const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that this process has used.
pub(crate) fn of_process() -> f64 {
    stat("self").map_or(0.0, |stat| stat.own)
}

/// Seconds that the process `root` and its children have used, those that have ended included.
pub(crate) fn of_tree(root: i32) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let names = processes.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let children = names.filter(|name| name.parse::<i32>().is_ok()).filter_map(|name| stat(&name));
    let living: f64 = children.filter(|stat| stat.parent == root).map(|stat| stat.own).sum();
    living + stat(&root.to_string()).map_or(0.0, |stat| stat.own + stat.ended_children)
}

struct Stat {
    parent: i32,
    own: f64,
    ended_children: f64,
}

fn stat(process: &str) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold spaces; what follows it begins with field 3.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS_PER_SECOND);
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(14)? + seconds(15)?,
        ended_children: seconds(16)? + seconds(17)?,
    })
}

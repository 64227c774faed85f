//! What the pool does beside its pure decisions.

use isotherm_types::SystemClock;

use super::*;

#[tokio::test]
async fn a_turn_that_is_put_off_without_end_is_not_waited_for_beyond_the_deadline() {
    let urls = vec![RpcUrl::parse("http://127.0.0.1:1").unwrap()];
    let pool = Pool::new(urls, ChainId(143), &Limits::default(), Arc::new(SystemClock)).unwrap();
    let inquiry = pool.inquiry(1, None);
    let deadline = Instant::now() + Duration::from_millis(400);
    let putting_off = async {
        for _ in 0..1000 {
            pool.note(0, Outcome::RateLimited { until: Instant::now() + Duration::from_millis(100) });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        () = putting_off => panic!("somebody still waits"),
        choice = pool.choose_by(&inquiry, deadline) => {
            assert!(matches!(choice, Choice::Wait { place: 0, until } if until > deadline), "{choice:?}");
        }
    }
}

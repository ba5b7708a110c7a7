//! Waits for several futures at the same time on one task.

use std::pin::Pin;
use std::task::Poll;

/// Waits for all; the results are in the order of the futures. The first error ends it, and the other futures are dropped.
pub(crate) async fn all<T, E>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    let mut waiting: Vec<Option<Pin<Box<_>>>> = futures
        .into_iter()
        .map(|future| Some(Box::pin(future)))
        .collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, result) in waiting.iter_mut().zip(&mut done) {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(context) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(value)) => {
                    *result = Some(value);
                    *slot = None;
                }
            }
        }
        match waiting.iter().all(Option::is_none) {
            true => Poll::Ready(Ok(done.iter_mut().filter_map(Option::take).collect())),
            false => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_run_at_the_same_time_and_answer_in_order() {
        let (first, second) = (Notify::new(), Notify::new());
        let answer = |own: u8| {
            let (first, second) = (&first, &second);
            async move {
                // Each waits for a sign of the other: one after the other they would never end.
                if own == 0 {
                    first.notify_one();
                    second.notified().await;
                } else {
                    second.notify_one();
                    first.notified().await;
                }
                Ok::<u8, ()>(own)
            }
        };
        assert_eq!(all([0, 1].map(answer)).await, Ok(vec![0, 1]));
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let answer = |own: u8| async move {
            if own == 0 {
                std::future::pending::<()>().await;
            }
            Err::<(), u8>(own)
        };
        assert_eq!(all([0, 1].map(answer)).await, Err(1));
    }
}

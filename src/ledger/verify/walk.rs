//! The way of a replay through a pool's books: page by page, each from a snapshot of its own, as long as
//! there is much to come; and the rest, with what is stored, from one.

use std::sync::Arc;

use super::page::Page;
use super::replay::Replay;
use super::{Stop, stored};
use crate::db::{Database, Txn};

/// How many transfers the last snapshot may be asked for.
const AT_ONCE: i64 = 20_000;

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More follows.
    More,
    /// Everything is right, up to now.
    Done,
}

/// Goes on by a page; or, when not much is left, to the end, and compares what is stored. A replay that
/// others have too is left as it is: they go on from there.
pub(super) async fn step(db: &Database, replay: &mut Arc<Replay>, thorough: bool) -> Result<Step, Stop> {
    let place = replay.place;
    let snapshot = db.read(place.tenant).await?;
    let end = stored::end(&snapshot, place).await?;
    if end.saturating_sub(replay.version) > AT_ONCE {
        let page = Page::load(&snapshot, place, replay.version).await?;
        drop(snapshot);
        if !page.last {
            feed(replay, &page)?;
            return Ok(Step::More);
        }
        // There are fewer transfers than the head says.
        let snapshot = db.read(place.tenant).await?;
        finish(&snapshot, replay, thorough).await?;
        return Ok(Step::Done);
    }
    finish(&snapshot, replay, thorough).await?;
    Ok(Step::Done)
}

/// Goes to the end of the books, as far as this transaction sees them, and compares what is stored.
pub(super) async fn finish(txn: &Txn, replay: &mut Arc<Replay>, thorough: bool) -> Result<(), Stop> {
    loop {
        let page = Page::load(txn, replay.place, replay.version).await?;
        feed(replay, &page)?;
        if page.last {
            break;
        }
    }
    stored::compare(txn, replay, thorough).await
}

fn feed(replay: &mut Arc<Replay>, page: &Page) -> Result<(), Stop> {
    if page.transfers.is_empty() {
        return Ok(());
    }
    Arc::make_mut(replay).feed(page)
}

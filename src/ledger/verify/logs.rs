//! The audit logs, verified in the background with the books: each round looks at what is new in each log, and
//! once a day a log is walked from its first event.
//!
//! A log that is wrong stops nobody: the changes that it tells of have happened. It is told by an alert, a metric
//! and the log of the server, in each round anew, until it is right again.
//!
//! Of each log the highest position that it was right up to is kept, with its link, for as long as the process runs: a
//! log whose end was set back is right in itself, and stays wrong for who has seen the rest.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bursar_domain::id::OrganizationId;
use metrics::{Counter, counter};
use tokio_util::sync::CancellationToken;

use super::uuid;
use super::watch::{LogVerification, Pace, Verifications};
use crate::audit::{self, Mark, Reached, Step, Stop};
use crate::context::Context;
use crate::error::Result;

/// How many pages of a walk from the first event are read before other logs have their turn.
const STEPS: usize = 50;

/// The logs of all organizations, as far as they have been verified.
pub(super) struct Logs {
    pace: Pace,
    end: CancellationToken,
    kept: HashMap<OrganizationId, Kept>,
    verified: Counter,
    differences: Counter,
}

/// What is known of a log.
#[derive(Default)]
struct Kept {
    /// Where the last walk came to its end.
    tail: Option<Reached>,
    /// A walk from the first event that is under way.
    whole: Option<Reached>,
    /// When that began, or the last one did.
    began: Option<Instant>,
    /// The end of the log, as far as it was right when it was longest.
    seen: Option<Mark>,
}

impl Kept {
    /// Keeps where a walk has come to the end of a log that is right. No walk ends before what was seen.
    fn ended(&mut self, reached: Reached) {
        self.seen = reached.mark().or(self.seen);
        self.tail = Some(reached);
    }

    /// Has the log walked from its first event next time. What was seen of it is not forgotten.
    fn begin_anew(&mut self) {
        *self = Kept { seen: self.seen, ..Kept::default() };
    }
}

impl Logs {
    /// None has been verified.
    pub fn new(pace: Pace, end: CancellationToken) -> Logs {
        let verified = counter!("bursar_audit_verified_events_total");
        let differences = counter!("bursar_audit_differences_total");
        Logs { pace, end, kept: HashMap::new(), verified, differences }
    }

    /// Visits each log.
    pub async fn round(&mut self, context: &Context, verifications: &Verifications) -> Result<()> {
        let chains = audit::chains(context, None).await?;
        let there: HashSet<OrganizationId> = chains.iter().map(|(_, chain)| chain.tenant().id()).collect();
        self.kept.retain(|organization, kept| there.contains(organization) || kept.seen.is_some());
        // Of which nothing is left, and there was something.
        let gone: Vec<Reached> =
            self.kept.keys().filter(|id| !there.contains(*id)).map(|id| Reached::nothing(*id)).collect();
        for beginning in chains.into_iter().map(|(_, beginning)| beginning).chain(gone) {
            if self.end.is_cancelled() {
                return Ok(());
            }
            let organization = beginning.tenant().id();
            let mut kept = self.kept.remove(&organization).unwrap_or_default();
            if let Err(error) = self.visit(context, verifications, beginning, &mut kept).await {
                tracing::warn!(%error, "an audit log cannot be verified now");
            }
            self.kept.insert(organization, kept);
        }
        Ok(())
    }

    /// Goes on from the last verification, and with the walk from the first event when its day has come.
    async fn visit(
        &self,
        context: &Context,
        verifications: &Verifications,
        beginning: Reached,
        kept: &mut Kept,
    ) -> Result<()> {
        // What fails goes on later from where it was.
        if let Some(mut tail) = kept.tail.clone() {
            let outcome = self.advance(context, &mut tail, usize::MAX).await;
            if self.said(context, verifications, &tail, outcome)?.is_none() {
                // From its first event next time, until it is right again.
                kept.begin_anew();
                return Ok(());
            }
            kept.ended(tail);
        }
        let due = kept.began.is_none_or(|began| began.elapsed() >= self.pace.whole);
        if kept.whole.is_none() && due {
            kept.whole = Some(beginning.knowing(kept.seen));
            kept.began = Some(Instant::now());
        }
        let Some(mut whole) = kept.whole.clone() else { return Ok(()) };
        let outcome = self.advance(context, &mut whole, STEPS).await;
        match self.said(context, verifications, &whole, outcome)? {
            Some(Step::Done) => {
                kept.ended(whole);
                kept.whole = None;
            }
            Some(Step::More) => kept.whole = Some(whole),
            None => kept.begin_anew(),
        }
        Ok(())
    }

    /// Takes steps until the end of the log, as many as are allowed, or until this process ends.
    async fn advance(&self, context: &Context, reached: &mut Reached, steps: usize) -> Result<Step, Stop> {
        for _ in 0..steps {
            let (began, before) = (Instant::now(), reached.position);
            let outcome = audit::step(&context.db, reached).await;
            self.verified.increment(u64::try_from(reached.position - before).unwrap_or(0));
            let rest = self.pace.rest(began.elapsed());
            // Whether the end has come or the rest is over is asked below.
            let _ = tokio::time::timeout(rest, self.end.cancelled()).await;
            if outcome? == Step::Done {
                return Ok(Step::Done);
            }
            if self.end.is_cancelled() {
                break;
            }
        }
        Ok(Step::More)
    }

    /// Keeps what has come of a walk, and raises an alert when a row is wrong. None: the log is wrong.
    fn said(
        &self,
        context: &Context,
        verifications: &Verifications,
        reached: &Reached,
        outcome: Result<Step, Stop>,
    ) -> Result<Option<Step>> {
        let organization = reached.tenant().id();
        let (at, position) = (context.clock.now(), reached.position);
        match outcome {
            Ok(Step::Done) => {
                verifications.put_log(organization, LogVerification { at, position, finding: None });
                Ok(Some(Step::Done))
            }
            Ok(Step::More) => Ok(Some(Step::More)),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Wrong(finding)) => {
                let said = finding.to_string();
                // Each time: whoever has overlooked it once is told again.
                self.differences.increment(1);
                tracing::error!(
                    organization = %uuid(organization),
                    table = finding.table,
                    key = %finding.key,
                    what = %finding.what,
                    "the audit log of an organization is wrong"
                );
                verifications.put_log(organization, LogVerification { at, position, finding: Some(said) });
                Ok(None)
            }
        }
    }
}

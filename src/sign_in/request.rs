//! Asking for a link to sign in with.
//!
//! Who asks is answered before it is looked whether there is a person with the address: what is done until then is
//! the same for every address, the counts among it.
//!
//! What is done afterwards must not tell either, by slowing down what the same client sends next. So nobody's question
//! starts it: questions wait in a queue with an end, and one worker answers all that have come, from time to time, after
//! a while that nobody can foresee. For an address that is nobody's it commits as often as for a person's. Who was told
//! that the question was taken is answered before the server goes down in order; when it does not, there is no mail, and
//! whoever waits for it asks again.

use std::sync::Arc;
use std::time::Duration;

use bursar_entity::{sign_in_link, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Client, SignInLink, THROTTLE_SIGN_IN, known, log, refusals};
use crate::audit::Change;
use crate::auth::{Attempt, Attempts};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Scope, Tenant};
use crate::error::{Error, Result};
use crate::outbox::{self, Mail, SignInFacts, Template, UserOrAddress};
use crate::text;

/// For how long a link is good, in seconds: as long as mail takes, and no longer than it lies about.
pub const LINK_SECONDS: i64 = 15 * 60;
/// How many questions may wait.
const CAPACITY: usize = 1_000;
/// After how many seconds to ask again when too many wait: they are all answered by then.
const FULL_SECONDS: u64 = 5;
/// How many commits a link is, with its mail: the link, the lease of the mail, what has become of it.
const COMMITS: usize = 3;

/// Those who have asked for a link and are to be sent one. Cheap to clone.
#[derive(Clone)]
pub struct LinkRequests(Arc<Inner>);

struct Inner {
    attempts: Attempts,
    waiting: Sender<Question>,
    end: CancellationToken,
    running: TaskTracker,
}

/// Who has asked, and for which address.
struct Question {
    client: Client,
    email: String,
}

impl LinkRequests {
    /// Begins to answer questions, all that have come each time that about `pace` has passed.
    pub fn start(context: &Context, attempts: &Attempts, pace: Duration) -> LinkRequests {
        let (waiting, questions) = mpsc::channel(CAPACITY);
        let (end, running) = (CancellationToken::new(), TaskTracker::new());
        running.spawn(work((context.clone(), attempts.clone()), questions, pace, end.clone()));
        LinkRequests(Arc::new(Inner { attempts: attempts.clone(), waiting, end, running }))
    }

    /// Sends a link to the person with an address, if there is one; nobody is told whether there is.
    ///
    /// # Errors
    /// The text is no address; [`Error::Throttled`] when the address, whoever's it is, or the client has asked too
    /// often, or too many wait.
    pub async fn request(&self, client: &Client, email: &str) -> Result<()> {
        let email = text::email("email", email)?;
        // Taken first: a question that has no place is not counted.
        let place = self.0.waiting.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => Error::Throttled { seconds: FULL_SECONDS },
            TrySendError::Closed(()) => Error::Unavailable("The server is being stopped."),
        })?;
        let subject = client.subject();
        let tries = [
            (Attempt::SignInLinksOfClient, subject.as_str()),
            (Attempt::SignInLinksToAddress, email.as_str()),
        ];
        let counted = self.0.attempts.count_all(&tries).await;
        refusals::note_throttled(&self.0.attempts, client, THROTTLE_SIGN_IN, &counted);
        counted?;
        place.send(Question { client: client.clone(), email });
        Ok(())
    }

    /// Takes no more questions, and waits until all that were taken are answered.
    pub async fn stop(&self) {
        self.0.end.cancel();
        self.0.running.close();
        self.0.running.wait().await;
    }
}

/// Answers questions until the end, and then those that wait yet.
async fn work(
    (context, attempts): (Context, Attempts),
    mut questions: Receiver<Question>,
    pace: Duration,
    end: CancellationToken,
) {
    let mut taken = Vec::new();
    while !end.is_cancelled() {
        tokio::select! {
            // In the order of the queue; none: there is nobody who could ask.
            first = questions.recv() => match first {
                Some(question) => taken.push(question),
                None => return,
            },
            () = end.cancelled() => break,
        }
        // Whether the end has come or the time has passed, what has come is answered.
        let _ = tokio::time::timeout(about(pace), end.cancelled()).await;
        while let Ok(question) = questions.try_recv() {
            taken.push(question);
        }
        for question in taken.drain(..) {
            answer(&context, &attempts, question).await;
        }
    }
    questions.close();
    // Nobody is waited for any more but those who have a place.
    while let Some(question) = questions.recv().await {
        answer(&context, &attempts, question).await;
    }
}

async fn answer(context: &Context, attempts: &Attempts, Question { client, email }: Question) {
    // No address: logs name nobody.
    if let Err(error) = send(context, attempts, &client, email).await {
        tracing::error!(%error, origin = ?client.origin, "a link to sign in with could not be sent");
    }
}

/// From half of a time to one and a half, so that nobody foresees it.
fn about(pace: Duration) -> Duration {
    let mut random = [0u8; 2];
    // Without randomness it is only easier to foresee.
    let _ = getrandom::fill(&mut random);
    pace / 2 + pace * u32::from(u16::from_le_bytes(random)) / 65_536
}

async fn send(context: &Context, attempts: &Attempts, client: &Client, email: String) -> Result<()> {
    let person = {
        let snapshot = context.db.read(Scope::Email(email.clone())).await?;
        find_people().filter(user::Column::Email.eq(email.as_str())).one(&snapshot).await?
    };
    let Some(user) = person.map(|person| person.id) else {
        // Nothing is to be written, and yet it has to take the writer as often.
        for _ in 0..COMMITS {
            attempts.count(Attempt::SignInLinksToNobody, "").await?;
        }
        return Ok(());
    };
    let (clock, client) = (context.clock.clone(), client.clone());
    let work = db::work(move |txn| {
        let (clock, client, email) = (clock.clone(), client.clone(), email.clone());
        Box::pin(async move {
            if known(txn, user).await?.is_none() {
                return Ok(());
            }
            let now = clock.now();
            // What is over long since is of no use to anybody.
            sign_in_link::Entity::delete_many()
                .filter(sign_in_link::Column::UserId.eq(user))
                .filter(sign_in_link::Column::ExpiresAt.lte(now.plus_days(-1)))
                .exec(txn)
                .await?;
            let row = sign_in_link::Model {
                user_id: user,
                id: clock.new_id(),
                created_at: now,
                expires_at: now.plus_seconds(LINK_SECONDS),
                used_at: None,
                wrong_codes: 0,
            };
            sign_in_link::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let mail = Mail {
                to: UserOrAddress::Address(email),
                template: Template::SignInLink,
                facts: Value::from(SignInFacts { expires_at: row.expires_at }),
                link: Some(SignInLink::unproven(&row)),
            };
            // It is about no organization.
            let vendor = Tenant::vendor();
            txn.turn_to(vendor).await?;
            outbox::append(txn, vendor, &clock, mail).await?;
            let change = Change::created("requestSignInLink", user, json!({ "link": "sent" }));
            let change = client.about(user, change);
            log::record(txn, &clock, &client.nobody(), (user, None), change).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await?;
    context.changes.announce_mail();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_foresees_when_questions_are_answered() {
        let pace = Duration::from_secs(2);
        let whiles: Vec<Duration> = (0..100).map(|_| about(pace)).collect();
        assert!(whiles.iter().all(|time| (pace / 2..pace * 3 / 2).contains(time)), "{whiles:?}");
        assert!(whiles.iter().any(|time| *time != whiles[0]));
    }
}

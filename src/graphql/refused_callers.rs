//! What was good once and is refused is recorded, and whoever bears it is told no more than others.

use super::server::{Server, Session};
use super::{Request, Services};
use crate::auth::Caller;
use crate::error::Error;
use crate::sign_in;

impl Server {
    /// The same outcome; that something was refused that was good once is recorded, and nobody waits for that.
    pub(super) fn noted<T>(
        &self,
        bearer: &str,
        session: &Session,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(Error::Unauthenticated(_)) = &outcome {
            let Services { context, keys, callers, attempts, .. } = self.services().as_ref();
            if let Some(refused) = callers.refused(context, keys, bearer) {
                sign_in::note_refusal(attempts, &session.client(), refused);
            }
        }
        outcome
    }
}

impl Request {
    /// Reads a caller anew, for whom the operation was sent; that it is refused meanwhile is recorded, too.
    pub(super) async fn read_again(&self, caller: &Caller) -> Result<Caller, Error> {
        let Services { context, callers, attempts, .. } = self.services.as_ref();
        let read = callers.reread(context, caller).await;
        if let (Err(Error::Unauthenticated(_)), Some(client)) = (&read, &self.client)
            && let Some(refused) = callers.refused_again(caller)
        {
            sign_in::note_refusal(attempts, client, refused);
        }
        read
    }
}

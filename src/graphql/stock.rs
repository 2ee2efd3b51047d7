//! What the schema's own executor needs, for those who serve it by the library's stock handler to compare.

use async_graphql::Request as Operation;

use super::server::Session;
use super::{Request, Server};
use crate::error::Result;
use crate::graphql::Services;

impl Server {
    /// Gives an operation what the resolvers work with, for whoever sends it: recalled from memory as for a
    /// charge, if possible. Nothing is limited, counted or kept.
    pub async fn equip(&self, operation: Operation, session: &Session) -> Result<Operation> {
        let Services { context, keys, callers, .. } = self.services().as_ref();
        let (mut caller, mut recalled) = (None, false);
        if let Some(bearer) = &session.bearer {
            caller = callers.recall(context, keys, bearer, session.origin.clone()).await?;
            caller = caller.map(|caller| caller.at_address(session.address));
            recalled = caller.is_some();
        }
        if caller.is_none() {
            caller = self.authenticate(session).await?;
        }
        let request = Request::new(self.services().clone(), caller, recalled);
        Ok(operation.data(request.sent_by(session.client())))
    }
}

//! What browsers are given: who has signed in, sealed, which comes along when a link is opened to decide by; and the link to
//! an archive.

use serde_json::json;

use super::{Run, last};
use crate::support::Client;
use crate::support::client::Demo;

/// The cookie that says who has signed in.
const PERSON: &str = "bursar-person";
/// What it is called here.
const SEALED: &str = "who has signed in, sealed";

impl Run {
    /// Keeps what the page has of somebody who has just signed in: the tokens that it shows, and the cookie beside it.
    pub async fn signed_in(&mut self, response: reqwest::Response) {
        assert_eq!(response.status().as_u16(), 200);
        let set = response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let mut pairs = set.filter_map(|set| set.split(';').next().unwrap().split_once('='));
        let (_, sealed) = pairs.find(|(name, _)| *name == PERSON).expect("no cookie for the person");
        let sealed = sealed.to_owned();
        self.keep(SEALED, &sealed);
        self.tokens_on(&response.text().await.unwrap());
    }

    /// Opens a link that is somebody else's, in the browsers of all who have signed in.
    pub async fn opened_by_others(&self, url: &str) {
        let sealed = self.secrets.iter().filter(|(name, _)| name == SEALED);
        let cookies: Vec<String> = sealed.map(|(_, sealed)| format!("{PERSON}={sealed}")).collect();
        assert_eq!(cookies.len(), 2);
        for cookie in cookies {
            let opened = self.nobody().http().get(url).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(opened.status().as_u16(), 403);
            let spoilt = format!("{cookie}x");
            let opened = self.nobody().http().get(url).header("cookie", spoilt).send().await.unwrap();
            assert_eq!(opened.status().as_u16(), 200, "nobody is known to have signed in");
        }
    }

    /// Takes along what is kept of the organization, by a link.
    pub async fn archive(&mut self, owner: &Client, demo: &Demo) {
        let (input, fields) = (json!({ "organizationId": demo.organization }), "export { url }");
        let asked = owner.mutate("exportOrganization", "ExportOrganizationInput", input, fields).await;
        let url = asked["export"]["url"].as_str().unwrap().replace("http://bursar.test", owner.base());
        self.keep("a link to an archive", last(&url));
        let nobody = self.nobody();
        for (url, expected) in [(format!("{url}x"), 404), (url, 200)] {
            let opened = nobody.http().get(&url).send().await.unwrap();
            assert_eq!(opened.status().as_u16(), expected);
            assert!(!opened.bytes().await.unwrap().is_empty());
        }
    }
}

//! Who takes the money, who sells, and who is told when money could not be booked.

use bursar_domain::organization::normal_email;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, Environment};

/// Who takes the money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payments {
    /// The embedded checkout page, which moves no real money.
    #[default]
    Sandbox,
    /// Stripe Checkout.
    Stripe,
}

/// How payments are taken.
#[derive(Clone, Debug, Default)]
pub struct PaymentSettings {
    /// Who takes the money.
    pub provider: Payments,
    /// How Stripe is reached. There with Stripe.
    pub stripe: Option<StripeSettings>,
    /// Who sells, as documents say.
    pub seller: Seller,
    /// Who is told by mail of what the vendor has to decide, money that could not be booked and quote requests; none:
    /// everybody of the vendor's staff.
    pub alerts: Option<String>,
}

/// How Stripe is reached.
#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// The key of the account.
    pub secret_key: SecretString,
    /// What its messages are signed with: one secret, or two while they are being exchanged.
    pub webhook_secrets: Vec<SecretString>,
    /// The address of its API, without a slash at the end.
    pub url: Url,
}

/// Who sells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// The name.
    pub name: String,
    /// The postal address, in lines.
    pub address: String,
    /// The number that tax offices know it by.
    pub tax_id: Option<String>,
}

impl Default for Seller {
    fn default() -> Seller {
        Seller { name: "Bursar".to_owned(), address: String::new(), tax_id: None }
    }
}

/// The settings as they stand in the file and in the environment.
#[derive(Default)]
pub(super) struct RawPayments {
    pub provider: Option<Payments>,
    pub secret_key: Option<String>,
    pub webhook_secret: Option<String>,
    pub url: Option<Url>,
    pub seller_name: Option<String>,
    pub seller_address: Option<String>,
    pub seller_tax_id: Option<String>,
    pub alerts: Option<String>,
}

/// The address of Stripe's API.
const STRIPE: &str = "https://api.stripe.com";
/// The most secrets that messages may be signed with at the same time.
const MOST_SECRETS: usize = 2;

impl PaymentSettings {
    /// Checks the settings. Keys and secrets are never repeated.
    pub(super) fn check(raw: RawPayments, environment: Environment) -> Result<PaymentSettings, ConfigError> {
        let wrong = |reason: &str| ConfigError(reason.to_owned());
        let provider = raw.provider.unwrap_or_default();
        let alerts = match raw.alerts.as_deref().map(normal_email) {
            Some(None) => return Err(wrong("BURSAR_ALERT_EMAIL: must be an e-mail address")),
            alerts => alerts.flatten(),
        };
        let seller = Seller {
            name: raw.seller_name.unwrap_or_else(|| Seller::default().name),
            address: raw.seller_address.unwrap_or_default().replace("\\n", "\n"),
            tax_id: raw.seller_tax_id,
        };
        if provider == Payments::Sandbox {
            let meant = [
                ("BURSAR_STRIPE_SECRET_KEY", raw.secret_key.is_some()),
                ("BURSAR_STRIPE_WEBHOOK_SECRET", raw.webhook_secret.is_some()),
                ("BURSAR_STRIPE_URL", raw.url.is_some()),
            ];
            if let Some((name, _)) = meant.into_iter().find(|(_, set)| *set) {
                return Err(ConfigError(format!("{name}: means nothing unless BURSAR_PAYMENTS is stripe")));
            }
            return Ok(PaymentSettings { provider, stripe: None, seller, alerts });
        }
        let secret_key = raw
            .secret_key
            .ok_or_else(|| wrong("BURSAR_STRIPE_SECRET_KEY: is needed when BURSAR_PAYMENTS is stripe"))?;
        if !["sk_", "rk_"].iter().any(|prefix| secret_key.starts_with(prefix)) {
            return Err(wrong("BURSAR_STRIPE_SECRET_KEY: must begin with sk_ or rk_"));
        }
        let secrets = raw
            .webhook_secret
            .ok_or_else(|| wrong("BURSAR_STRIPE_WEBHOOK_SECRET: is needed when BURSAR_PAYMENTS is stripe"))?;
        let secrets: Vec<&str> = secrets.split(',').map(str::trim).collect();
        if secrets.len() > MOST_SECRETS || secrets.iter().any(|secret| !secret.starts_with("whsec_")) {
            return Err(wrong(
                "BURSAR_STRIPE_WEBHOOK_SECRET: must be one secret that begins with whsec_, or two with a comma \
                 between them",
            ));
        }
        let url = match raw.url {
            Some(url) => url,
            None => Url::parse(STRIPE)
                .map_err(|error| ConfigError(format!("BURSAR_STRIPE_URL: is not a URL: {error}")))?,
        };
        // The key goes there with every request.
        if url.scheme() != "https" && environment == Environment::Production {
            return Err(wrong("BURSAR_STRIPE_URL: must be https in production"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("BURSAR_STRIPE_URL: must be an http or https address"));
        }
        let webhook_secrets = secrets.into_iter().map(SecretString::from).collect();
        let stripe = StripeSettings { secret_key: SecretString::from(secret_key), webhook_secrets, url };
        Ok(PaymentSettings { provider, stripe: Some(stripe), seller, alerts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripe(key: &str, secret: &str, url: Option<&str>) -> Result<PaymentSettings, ConfigError> {
        let raw = RawPayments {
            provider: Some(Payments::Stripe),
            secret_key: Some(key.to_owned()),
            webhook_secret: Some(secret.to_owned()),
            url: url.map(|url| url.parse().unwrap()),
            ..RawPayments::default()
        };
        PaymentSettings::check(raw, Environment::Production)
    }

    #[test]
    fn stripe_takes_its_key_and_its_secrets() {
        let settings = stripe("sk_test_1", "whsec_a, whsec_b", None).unwrap().stripe.unwrap();
        assert_eq!(settings.webhook_secrets.len(), 2);
        assert_eq!(settings.url.as_str(), "https://api.stripe.com/");
        for (key, secret, url, expected) in [
            ("swordfish", "whsec_a", None, "BURSAR_STRIPE_SECRET_KEY: must"),
            ("sk_1", "swordfish", None, "BURSAR_STRIPE_WEBHOOK_SECRET: must"),
            ("sk_1", "whsec_a,whsec_b,whsec_c", None, "BURSAR_STRIPE_WEBHOOK_SECRET: must"),
            ("sk_1", "whsec_a", Some("http://stripe.test"), "BURSAR_STRIPE_URL: must be https"),
        ] {
            let error = stripe(key, secret, url).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("swordfish"), "{error}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let raw = RawPayments { secret_key: Some("sk_1".to_owned()), ..RawPayments::default() };
        let error = PaymentSettings::check(raw, Environment::Development).unwrap_err().to_string();
        assert!(error.starts_with("BURSAR_STRIPE_SECRET_KEY: means nothing"), "{error}");
        let raw = RawPayments { alerts: Some("swordfish".to_owned()), ..RawPayments::default() };
        let error = PaymentSettings::check(raw, Environment::Development).unwrap_err().to_string();
        assert!(error.starts_with("BURSAR_ALERT_EMAIL") && !error.contains("swordfish"), "{error}");
    }
}

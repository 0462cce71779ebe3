//! The HTTP side: one address, one key, one POST.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use super::JudgeProblem;

/// Most bytes of a response that are read; a verdict has a few hundred.
const LARGEST: u64 = 4 << 20;

/// Where chat completions are asked for.
pub(super) struct Endpoint {
    url: String,
    key: Option<String>,
    agent: ureq::Agent,
}

/// A response, whatever its status.
pub(super) struct Response {
    pub(super) status: u16,
    /// What `Retry-After` asks for, where it gives seconds.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: String,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum NoResponse {
    /// Not in time.
    Timeout,
    /// Nobody listens there.
    Unreachable(String),
    /// The connection broke.
    Broken(String),
}

impl Endpoint {
    /// Checks address and key; nothing is sent.
    ///
    /// An address without a path gets `/v1`; one that already ends in `/chat/completions` is taken as it is.
    pub(super) fn new(base: &str, key: Option<String>, timeout: Duration) -> Result<Self, JudgeProblem> {
        let wrong = |expected| Err(JudgeProblem::Url { expected, found: public(base) });
        let Some(rest) = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://")) else {
            return wrong("an address that begins with `http://` or `https://`");
        };
        if base.contains(['@', '?', '#']) || base.contains(char::is_whitespace) {
            return wrong("an address without user, query or spaces");
        }
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest.starts_with([':', '/']) {
            return wrong("an address with a host");
        }
        if key.as_ref().is_some_and(|key| key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic())) {
            return Err(JudgeProblem::Key);
        }
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/chat/completions").unwrap_or(base);
        let version = if rest.contains('/') { "" } else { "/v1" };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // By default the client takes a proxy from the environment, which is the binary's to read.
            .proxy(None)
            .build();
        Ok(Self { url: format!("{base}{version}/chat/completions"), key, agent: config.into() })
    }

    /// The address that is asked, without credentials.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Sends one request and reads its response whole.
    pub(super) fn post(&self, json: &str) -> Result<Response, NoResponse> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(json).map_err(|error| self.failed(&error))?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = String::from_utf8_lossy(&body.map_err(|error| self.failed(&error))?).into_owned();
        Ok(Response {
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body: self.without_key(body),
        })
    }

    fn failed(&self, error: &ureq::Error) -> NoResponse {
        let reason = self.without_key(error.to_string());
        match error {
            ureq::Error::Timeout(_) => NoResponse::Timeout,
            ureq::Error::Io(io) => match io.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => NoResponse::Timeout,
                ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable => NoResponse::Unreachable(reason),
                _ => NoResponse::Broken(reason),
            },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => NoResponse::Unreachable(reason),
            _ => NoResponse::Broken(reason),
        }
    }

    /// Servers repeat what they were sent; what they say is stored.
    fn without_key(&self, text: String) -> String {
        match &self.key {
            Some(key) if text.contains(key.as_str()) => text.replace(key.as_str(), "[key]"),
            _ => text,
        }
    }
}

/// An address without what could be a key in it: user and query.
pub(super) fn public(base: &str) -> String {
    let path = base.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('@').next().unwrap_or_default().to_owned()
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("has_key", &self.has_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base: &str, key: Option<&str>) -> Result<Endpoint, JudgeProblem> {
        Endpoint::new(base, key.map(str::to_owned), Duration::from_secs(1))
    }

    #[test]
    fn an_address_is_completed_or_taken_as_it_is() {
        let table = [
            ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
            ("https://host.example/api/v1/", "https://host.example/api/v1/chat/completions"),
            ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ];
        for (base, url) in table {
            assert_eq!(endpoint(base, None).unwrap().url(), url);
        }
    }

    #[test]
    fn an_address_that_cannot_be_asked_is_refused_and_keys_are_not_repeated() {
        let table = [
            ("localhost:8000", "begins with `http://`"),
            ("ftp://host", "begins with `http://`"),
            ("http://", "with a host"),
            ("http:///v1", "with a host"),
            ("http://:8000", "with a host"),
            ("http://user:secret@host", "without user"),
            ("http://host/v1?key=secret", "without user, query"),
            ("http://ho st", "or spaces"),
        ];
        for (base, expected) in table {
            let said = endpoint(base, None).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("secret"), "{base}: {said}");
        }
        for key in ["", "two words", "line\nbreak", "schlüssel"] {
            assert!(matches!(endpoint("http://h", Some(key)), Err(JudgeProblem::Key)), "{key}");
        }
        let endpoint = endpoint("http://h", Some("sk-secret")).unwrap();
        assert!(!format!("{endpoint:?}").contains("secret"));
        assert_eq!(endpoint.without_key("bad key sk-secret".into()), "bad key [key]");
    }
}

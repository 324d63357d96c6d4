//! Who may talk to the admin API: everything that is checked before a route is looked at.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::routes::Problem;
use crate::data_dir::AdminToken;

/// What a request is measured against.
#[derive(Debug)]
pub(super) struct Guard {
    addr: SocketAddr,
    token: AdminToken,
}

impl Guard {
    pub(super) fn new(addr: SocketAddr, token: AdminToken) -> Self {
        Self { addr, token }
    }

    /// Whether `authority` names this API: loopback or `localhost`, with our port.
    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        if authority.as_str().contains('@')
            || authority.port_u16().unwrap_or(80) != self.addr.port()
        {
            return false;
        }
        let host = authority.host();
        host.eq_ignore_ascii_case("localhost")
            || matches!(host, "127.0.0.1" | "[::1]")
            || host == self.addr.ip().to_string()
            || host == format!("[{}]", self.addr.ip())
    }

    /// Takes the same time wherever the two differ.
    fn is_token(&self, shown: &str) -> bool {
        self.token
            .as_str()
            .as_bytes()
            .ct_eq(shown.as_bytes())
            .into()
    }

    fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(HOST).iter();
        let ours = |value: &HeaderValue| value.to_str().is_ok_and(|text| self.is_ours(text));
        if !(hosts.next().is_some_and(ours) && hosts.next().is_none())
            || uri
                .authority()
                .is_some_and(|authority| !self.is_ours(authority.as_str()))
        {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "the Host header must be 127.0.0.1:{0}, [::1]:{0} or localhost:{0}",
                    self.addr.port()
                ),
            ));
        }
        let ours = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| {
                text.strip_prefix("http://")
                    .is_some_and(|text| self.is_ours(text))
            })
        };
        if !headers.get_all(ORIGIN).iter().all(ours) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "requests from other web pages are refused",
            ));
        }
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        if !shown.is_some_and(|shown| self.is_token(shown)) {
            let what = if shown.is_some() { "wrong" } else { "missing" };
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                format!(
                    "{what} token: send `Authorization: Bearer TOKEN` with the content of admin.token in the node's data directory"
                ),
            ));
        }
        Ok(())
    }
}

/// The token of an `Authorization: Bearer TOKEN` header; the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Headers of every answer, refusals included.
const HEADERS: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// Lets a request pass, or answers it with the reason why not.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.judge(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    const TOKEN: &str = "abababababababababababababababababababababababababababababababab";

    fn guard() -> Guard {
        let dir = tempfile::tempdir().unwrap();
        let dir = DataDir::new(dir.path());
        std::fs::write(dir.admin_token_path(), TOKEN).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(dir.admin_token_path(), private).unwrap();
        }
        Guard::new(
            "127.0.0.1:4101".parse().unwrap(),
            dir.admin_token().unwrap(),
        )
    }

    fn judge(
        host: &[&str],
        origin: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<(), StatusCode> {
        let guard = guard();
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        guard
            .judge(&Uri::from_static("/v1/status"), &headers)
            .map_err(|problem| problem.status)
    }

    fn good() -> String {
        format!("Bearer {}", "ab".repeat(32))
    }

    #[test]
    fn only_this_machine_by_name_and_port() {
        for host in [
            "127.0.0.1:4101",
            "localhost:4101",
            "LOCALHOST:4101",
            "[::1]:4101",
        ] {
            assert_eq!(judge(&[host], None, Some(&good())), Ok(()), "{host}");
        }
        let foreign = [
            "evil.example:4101",
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:4102",
            "localhost.evil.example:4101",
            "127.0.0.1:4101@evil.example",
            "evil@127.0.0.1:4101",
            "",
            "[::1]",
            "127.0.0.1:",
            "127.0.0.1:99999",
        ];
        for host in foreign {
            assert_eq!(
                judge(&[host], None, Some(&good())),
                Err(StatusCode::FORBIDDEN),
                "{host}"
            );
        }
        assert_eq!(judge(&[], None, Some(&good())), Err(StatusCode::FORBIDDEN));
        assert_eq!(
            judge(&["127.0.0.1:4101", "evil.example"], None, Some(&good())),
            Err(StatusCode::FORBIDDEN)
        );
    }

    #[test]
    fn a_foreign_authority_in_the_request_line_is_refused() {
        let guard = guard();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:4101".parse().unwrap());
        headers.insert(AUTHORIZATION, good().parse().unwrap());
        assert!(
            guard
                .judge(&Uri::from_static("http://evil.example/v1/status"), &headers)
                .is_err()
        );
        assert!(
            guard
                .judge(
                    &Uri::from_static("http://localhost:4101/v1/status"),
                    &headers
                )
                .is_ok()
        );
    }

    #[test]
    fn only_pages_of_our_own() {
        let host = &["127.0.0.1:4101"];
        assert_eq!(
            judge(host, Some("http://127.0.0.1:4101"), Some(&good())),
            Ok(())
        );
        for origin in [
            "null",
            "http://evil.example",
            "https://127.0.0.1:4101",
            "http://127.0.0.1:4102",
            "http://127.0.0.1",
        ] {
            assert_eq!(
                judge(host, Some(origin), Some(&good())),
                Err(StatusCode::FORBIDDEN),
                "{origin}"
            );
        }
    }

    #[test]
    fn only_the_token_opens() {
        let host = &["127.0.0.1:4101"];
        assert_eq!(
            judge(host, None, Some(&good().replace("Bearer", "bearer"))),
            Ok(())
        );
        let token = "ab".repeat(32);
        for wrong in [
            String::new(),
            token.clone(),
            format!("Basic {token}"),
            "Bearer".into(),
            "Bearer ".into(),
            format!("Bearer {}", "ac".repeat(32)),
        ] {
            assert_eq!(
                judge(host, None, Some(&wrong)),
                Err(StatusCode::UNAUTHORIZED),
                "{wrong}"
            );
        }
        assert_eq!(judge(host, None, None), Err(StatusCode::UNAUTHORIZED));
    }
}

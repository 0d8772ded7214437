//! What is at which address.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::gate::{self, Admission, Way};
use super::site::Site;
use super::{page, query};
use crate::dkim::backend::sha256;
use crate::files::token::Token;
use crate::keystore::KeyStore;
use crate::observe::metrics;
use crate::observe::page::STYLE;

const TEXT: &str = "text/plain; charset=utf-8";

const HTML: &str = "text/html; charset=utf-8";

/// What a page may do: show itself, in its own style, which is known by its digest, and ask for another of ours.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Answers a request, whatever it is.
pub(super) async fn answer<S: KeyStore + 'static, B>(
    site: &Site<S>,
    token: Option<&Token>,
    way: Way,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    // Whoever looks whether we live need not know us.
    match request.uri().path() {
        "/healthz" => return judged(&site.health().ills(), "healthy"),
        "/readyz" => return judged(&site.health().obstacles(), "ready"),
        _ => {}
    }
    match gate::admit(request.headers(), token, way) {
        Admission::Welcome => {}
        Admission::TokenMissing => {
            let mut refused = text(StatusCode::UNAUTHORIZED, "this needs the token of [http] token_file\n");
            let challenge = HeaderValue::from_static("Basic realm=\"waxseald\", charset=\"UTF-8\"");
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return refused;
        }
        Admission::ForeignName => {
            let why = "ask for this machine by its address or as localhost, or set token_file in [http]\n";
            return text(StatusCode::MISDIRECTED_REQUEST, why);
        }
    }
    match request.uri().path() {
        "/metrics" => match metrics::write(&site.snapshot()) {
            Ok(metrics) => respond(StatusCode::OK, metrics::CONTENT_TYPE, metrics),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n"),
        },
        "/" => respond(StatusCode::OK, HTML, page::status(site)),
        "/search" => {
            let asked = query::value(request.uri().query().unwrap_or_default(), "q").unwrap_or_default();
            respond(StatusCode::OK, HTML, page::search(site, &asked).await)
        }
        _ => text(StatusCode::NOT_FOUND, "there is nothing here; try /, /metrics, /healthz or /readyz\n"),
    }
}

/// Well, or what is not.
fn judged(ills: &[String], well: &'static str) -> Response<Full<Bytes>> {
    if ills.is_empty() {
        return text(StatusCode::OK, format!("{well}\n"));
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", ills.join("\n")))
}

fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, TEXT, words)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_TYPE, content_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

//! The hub over HTTP: system M's routes, the modern ones beside them, and what operators ask.
//!
//! Handlers translate: a request into a call on the [`Hub`], its answer into a response. What a client may do stands with each
//! route as an [`Access`].

mod answer;
pub(crate) mod direct;
mod events;
mod manager;
mod operations;
mod page;
pub(crate) mod publish;
mod work;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post, put};

use crate::auth::{Access, Guard};
use crate::config::Prefix;
use crate::hub::Hub;

/// How the hub is offered over HTTP.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// What every route of the hub begins with. Default `/sse/`.
    pub prefix: Prefix,
    /// Who may do what.
    pub guard: Guard,
    /// Bytes of a request's body at most. Default 1 MiB.
    pub max_body: usize,
    /// How long a command may take from its head to its answer. Default 30 s.
    pub request_timeout: Duration,
    /// Whether `disconnect-registrant` and `clear-registrants` end streams. Default false: the original browser client never closes
    /// its `EventSource`, and an ended stream comes back as a ghost.
    pub end_on_disconnect: bool,
}

impl RouterOptions {
    /// The defaults, behind `guard`.
    pub fn new(guard: Guard) -> Self {
        Self {
            prefix: Prefix::default(),
            guard,
            max_body: 1 << 20,
            request_timeout: Duration::from_secs(30),
            end_on_disconnect: false,
        }
    }
}

/// What handlers share.
#[derive(Clone)]
struct Web {
    hub: Hub,
    guard: Guard,
    end_on_disconnect: bool,
}

/// The hub's routes below its prefix, for any axum application: system M's and the modern ones.
///
/// | route | access |
/// |---|---|
/// | `GET register-listener/:id`, `GET events` | stream |
/// | `GET make-id/:name`, `GET disconnect-registrant/:id`, `PUT submit-task/:id/:task`, `PUT` and `DELETE listen/:id/:key`, `GET tasks/:id` | command |
/// | `GET list-registrants`, `GET clear-registrants`, `GET trigger-cleanup`, `GET trigger-adhoc/:id` | privileged |
/// | `POST publish`, `POST notify/:key`, `POST complete/:id/:task`, `POST progress/:id/:task` | privileged |
pub fn router(hub: Hub, options: &RouterOptions) -> Router {
    let RouterOptions { prefix, guard, .. } = options;
    let at = |rest: &str| prefix.join(rest);
    let streams = Router::new()
        .route(&at("register-listener/{id}"), get(manager::register_listener).head(answer::stream_head))
        .route(&at("events"), get(events::events).head(answer::stream_head))
        .method_not_allowed_fallback(answer::no_such_method);
    let commands = Router::new()
        .route(&at("make-id/{name}"), command(manager::make_id))
        .route(&at("disconnect-registrant/{id}"), command(manager::disconnect_registrant))
        .route(&at("submit-task/{id}/{task}"), put(work::submit))
        .route(&at("listen/{id}/{key}"), put(manager::listen))
        .route(&at("listen/{id}/{key}"), delete(manager::unlisten))
        .route(&at("tasks/{id}"), command(work::tasks))
        .method_not_allowed_fallback(answer::no_such_method);
    let privileged = Router::new()
        .route(&at("list-registrants"), command(manager::list_registrants))
        .route(&at("clear-registrants"), command(manager::clear_registrants))
        .route(&at("trigger-cleanup"), command(manager::trigger_cleanup))
        .route(&at("trigger-adhoc/{id}"), command(manager::trigger_ad_hoc))
        .route(&at("trigger-ad-hoc/{id}"), command(manager::trigger_ad_hoc))
        .route(&at("publish"), post(publish::publish))
        .route(&at("notify/{key}"), post(publish::notify))
        .route(&at("complete/{id}/{task}"), post(work::complete))
        .route(&at("progress/{id}/{task}"), post(work::progress))
        .method_not_allowed_fallback(answer::no_such_method);
    let limit = options.request_timeout;
    let timeout = from_fn(move |request: Request, next: Next| async move {
        tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| answer::out_of_time().into_response())
    });
    let web = Web { hub, guard: guard.clone(), end_on_disconnect: options.end_on_disconnect };
    guard
        .protect(Access::Command, commands.route_layer(timeout.clone()))
        .merge(guard.protect(Access::Privileged, privileged.route_layer(timeout)))
        .merge(guard.protect(Access::Stream, streams))
        .layer(DefaultBodyLimit::max(options.max_body))
        .with_state(web)
}

/// A command by GET: HEAD would carry it out too.
fn command<H, T>(handler: H) -> MethodRouter<Web>
where
    H: Handler<T, Web>,
    T: 'static,
{
    get(handler).head(answer::no_such_method)
}

/// Everything the server offers: [`router`], the page at `/`, `/healthz`, `/readyz` and `/metrics`.
pub fn site(hub: Hub, options: &RouterOptions) -> Router {
    let operations = Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .with_state(hub.clone());
    let page = page::routes(&options.prefix);
    // Within the guards, which answer OPTIONS before it.
    let open = operations.merge(page).method_not_allowed_fallback(answer::no_such_method);
    router(hub, options).merge(options.guard.protect(Access::Page, open)).fallback(answer::no_such_route)
}

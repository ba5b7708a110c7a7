//! One conversation with a registry: the pass that it wants is fetched once, with the operator's credentials, and goes to that registry and
//! nowhere else.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use url::Url;

use crate::error::{Exit, Failure};
use crate::plugins::registry::credentials::{self, Credential};
use crate::plugins::registry::{Manifest, Repository};
use crate::plugins::source::is_loopback;
use crate::plugins::web::{self, Answer, Content, Method, Question};

/// The largest answer of whoever gives out passes, and the largest complaint of a registry.
const MOST_TOKEN: u64 = 256 << 10;
const MOST_COMPLAINT: u64 = 64 << 10;

/// What is kept of a conversation.
#[derive(Default)]
pub(crate) struct Session {
    /// The pass, as it stands in the header.
    authorization: Option<String>,
    /// What the pass is for.
    access: Access,
    /// The artifact that the index came from.
    pub(super) manifest: Option<Manifest>,
}

/// What is to be done with the repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    #[default]
    Pull,
    Push,
}

/// One question to a registry.
pub(crate) struct Wanted<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) accept: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    pub(super) content: Content<'a>,
    pub(super) limit: Duration,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(method: Method, url: &'a Url) -> Self {
        Self {
            method,
            url,
            accept: None,
            content_type: None,
            content: Content::Nothing,
            limit: web::SMALL,
        }
    }
}

impl Repository {
    /// From here on the pass has to allow changes.
    pub(super) fn for_push(&self) {
        let mut session = self.lock();
        session.access = Access::Push;
        session.authorization = None;
    }

    /// The address of something in the repository.
    pub(super) fn url(&self, path: &str) -> Result<Url, Failure> {
        let scheme = match is_loopback(&self.host) {
            true => "http",
            false => "https",
        };
        let host = match self.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        web::address(
            &self.name(),
            &format!("{scheme}://{host}/v2/{}/{path}", self.path),
        )
    }

    /// Asks; where the registry wants a pass, it is fetched. What is streamed is sent once, so a pass has to be there by then.
    pub(super) fn ask(&self, wanted: Wanted<'_>) -> Result<Answer, Failure> {
        let Wanted {
            method,
            url,
            accept,
            content_type,
            content,
            limit,
        } = wanted;
        let own = web::origin(url) == web::origin(&self.url("")?);
        let question = |authorization: Option<String>, content| {
            let mut headers = Vec::new();
            headers.extend(accept.map(|accept| ("accept", accept.to_owned())));
            headers.extend(content_type.map(|kind| ("content-type", kind.to_owned())));
            Question {
                method,
                url,
                headers,
                authorization: authorization.filter(|_| own),
                content,
                limit,
            }
        };
        let again = match &content {
            Content::Nothing => Some(Content::Nothing),
            Content::Bytes(bytes) => Some(Content::Bytes(bytes)),
            Content::Stream(..) => None,
        };
        let known = self.lock().authorization.clone();
        let answer = web::ask(&self.name(), question(known, content))?;
        if answer.status == 401 && own && web::origin(&answer.from) != web::origin(url) {
            return Err(self.strange_challenge(&answer));
        }
        let (401, true, Some(again)) = (answer.status, own, again) else {
            return Ok(answer);
        };
        let authorization = self.authorize(&answer)?;
        self.lock().authorization = Some(authorization.clone());
        let answer = web::ask(&self.name(), question(Some(authorization), again))?;
        match answer.status {
            401 | 403 => Err(self.denied(true)),
            _ => Ok(answer),
        }
    }

    /// The credentials belong to the registry that was named, whoever else asks for them.
    fn strange_challenge(&self, answer: &Answer) -> Failure {
        Failure::new(
            Exit::Refused,
            format!(
                "`{}` sends to `{}`, which wants credentials",
                self.name(),
                web::origin(&answer.from)
            ),
        )
        .detail(format!(
            "nothing was sent there: yours are for `{}` alone",
            self.host
        ))
        .help("tell whoever runs the registry: it has to ask for credentials itself")
    }

    /// Gets what a registry wants to see.
    fn authorize(&self, answer: &Answer) -> Result<String, Failure> {
        let credential = credentials::find(&self.host, &self.path)?;
        let challenges = answer
            .headers
            .get_all("www-authenticate")
            .iter()
            .filter_map(|header| header.to_str().ok());
        let mut basic = false;
        for header in challenges {
            let Ok(all) = http_auth::parse_challenges(header) else {
                continue;
            };
            for challenge in all {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let value = |name: &str| {
                        let mut params = challenge.params.iter();
                        let found = params.find(|(key, _)| key.eq_ignore_ascii_case(name));
                        found.map(|(_, value)| value.to_unescaped())
                    };
                    let realm = value("realm").unwrap_or_default();
                    return self.token(&realm, value("service"), credential);
                }
                basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
        }
        match credential {
            Some(Credential::Password(name, password)) if basic => {
                Ok(basic_header(&name, &password))
            }
            Some(_) if basic => Err(self.denied(true)),
            _ => Err(self.denied(false)),
        }
    }

    /// Exchanges credentials, or nothing, for a token.
    fn token(
        &self,
        realm: &str,
        service: Option<String>,
        credential: Option<Credential>,
    ) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Said {
            token: Option<String>,
            access_token: Option<String>,
        }
        let place = self.name();
        let mut url = web::address(&place, realm)?;
        web::check(&place, &self.url("")?, &url)?;
        let scope = match self.lock().access {
            Access::Pull => format!("repository:{}:pull", self.path),
            Access::Push => format!("repository:{}:pull,push", self.path),
        };
        let had_credential = credential.is_some();
        let mut question = Question {
            method: Method::Get,
            url: &url.clone(),
            headers: Vec::new(),
            authorization: None,
            content: Content::Nothing,
            limit: web::SMALL,
        };
        let form;
        match credential {
            Some(Credential::Refresh(token)) => {
                let mut fields = url::form_urlencoded::Serializer::new(String::new());
                fields.append_pair("grant_type", "refresh_token");
                fields.append_pair("client_id", "ztc");
                fields.append_pair("scope", &scope);
                fields.append_pair("refresh_token", &token);
                if let Some(service) = &service {
                    fields.append_pair("service", service);
                }
                form = fields.finish();
                question.method = Method::Post;
                question.headers = vec![(
                    "content-type",
                    "application/x-www-form-urlencoded".to_owned(),
                )];
                question.content = Content::Bytes(form.as_bytes());
            }
            other => {
                let mut query = url.query_pairs_mut();
                query.append_pair("scope", &scope);
                if let Some(service) = &service {
                    query.append_pair("service", service);
                }
                drop(query);
                if let Some(Credential::Password(name, password)) = other {
                    question.authorization = Some(basic_header(&name, &password));
                }
            }
        }
        let answer = web::ask(
            &place,
            Question {
                url: &url,
                ..question
            },
        )?;
        match answer.status {
            200 => {}
            401 | 403 => return Err(self.denied(had_credential)),
            status => {
                return Err(Failure::failed(format!(
                    "`{}`, which gives out passes for `{place}`, answers with status {status}",
                    web::origin(&url)
                ))
                .help("run the same command again later"));
            }
        }
        let text = answer.small(&place, "token", MOST_TOKEN)?;
        let said: Option<Said> = serde_json::from_slice(&text).ok();
        let token = said.and_then(|said| said.token.or(said.access_token));
        let plain = |c: char| c.is_ascii_graphic();
        match token.filter(|token| !token.is_empty() && token.chars().all(plain)) {
            Some(token) => Ok(format!("Bearer {token}")),
            None => Err(self.nonsense("the pass that it sent for has no form")),
        }
    }

    fn denied(&self, had_credential: bool) -> Failure {
        let files = credentials::files();
        let file = files.iter().find(|file| file.ends_with("config.json"));
        let file = file.map_or_else(String::new, |file| file.display().to_string());
        let message = match had_credential {
            true => format!(
                "`{}` does not accept the credentials that are stored for it",
                self.name()
            ),
            false => format!(
                "`{}` wants credentials, and none are stored for `{}`",
                self.name(),
                self.host
            ),
        };
        Failure::new(Exit::Failed, message)
            .detail(format!("looked in: {file}"))
            .help(format!(
                "run `docker login {host}` or `podman login {host}`, and then the same command again; a repository that does not exist looks the same",
                host = self.host
            ))
    }

    /// Says what a registry has answered instead of what was asked for.
    pub(super) fn unexpected(&self, what: &str, answer: Answer) -> Failure {
        #[derive(Deserialize)]
        struct Complaint {
            errors: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            code: String,
        }
        let status = answer.status;
        let text = answer.small(&self.name(), what, MOST_COMPLAINT).ok();
        let complaint: Option<Complaint> = text.and_then(|text| serde_json::from_slice(&text).ok());
        // Codes only: a message may hold what was sent.
        let word = |c: char| c.is_ascii_uppercase() || c == '_';
        let codes: Vec<String> = complaint
            .into_iter()
            .flat_map(|complaint| complaint.errors)
            .map(|one| one.code)
            .filter(|code| code.len() < 50 && code.chars().all(word))
            .collect();
        if status == 403 {
            return self.denied(self.lock().authorization.is_some());
        }
        let failure = Failure::failed(format!(
            "`{}` answers with status {status} for `{what}`",
            self.name()
        ));
        let failure = match codes.is_empty() {
            true => failure,
            false => failure.detail(format!("it says: {}", codes.join(", "))),
        };
        failure.help("run the same command again later")
    }
}

fn basic_header(name: &str, password: &str) -> String {
    let text = BASE64_STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {text}")
}

//! From a method's name to the adapter's function: parameters in, result or error out, each call on a thread of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Methods, RpcModule};
use serde_json::value::{RawValue, to_raw_value};
use ztc_protocol::message::*;
use ztc_protocol::{ErrorCode, ErrorData, PROTOCOL, ProtocolVersion};

use crate::outbox::Outbox;
use crate::versions::{self, Taken};
use crate::{Adapter, AdapterError, CallContext, spill};

/// What the calls of one connection share.
pub(crate) struct State<A> {
    adapter: Arc<A>,
    outbox: Outbox,
    initialized: AtomicBool,
    shut_down: AtomicBool,
    scratch: OnceLock<PathBuf>,
    /// The table of versions that the host has handed over, or nothing; the first `initialize` decides.
    versions: OnceLock<Option<Taken>>,
    /// The running calls with their cancellation flags.
    calls: Mutex<HashMap<String, Arc<AtomicBool>>>,
}

type Answer = Result<Box<RawValue>, ErrorObjectOwned>;

impl<A: Adapter> State<A> {
    pub(crate) fn new(adapter: Arc<A>, outbox: Outbox) -> Self {
        Self {
            adapter,
            outbox,
            initialized: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
            scratch: OnceLock::new(),
            versions: OnceLock::new(),
            calls: Mutex::default(),
        }
    }

    /// Sets the flag of a running call.
    pub(crate) fn cancel(&self, call_id: &str) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flag) = calls.get(call_id) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Sets the flag of every running call.
    pub(crate) fn cancel_all(&self) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls
            .values()
            .for_each(|flag| flag.store(true, Ordering::Relaxed));
    }

    /// Whether the host has announced the end.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Relaxed)
    }

    fn begin(&self, call: Call) -> CallContext {
        let cancelled = Arc::new(AtomicBool::new(false));
        if !call.id.is_empty() {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.insert(call.id.clone(), Arc::clone(&cancelled));
        }
        let outbox = self.outbox.clone();
        CallContext {
            call,
            cancelled,
            notify: Arc::new(move |method, params| outbox.notify(method, params)),
        }
    }

    fn end(&self, call_id: &str) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(call_id);
    }

    fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, AdapterError> {
        let Some(protocol) = ProtocolVersion::agree(&[PROTOCOL], &params.protocols) else {
            return Err(unsupported(&params.protocols));
        };
        let _ = self.scratch.set(PathBuf::from(params.scratch_dir));
        if self.versions.get().is_none() {
            let taken = params.versions.map(|table| self.take(&table)).transpose()?;
            let _ = self.versions.set(taken);
        }
        let manifest = versions::with(self.taken(), || versions::manifest(&*self.adapter));
        self.initialized.store(true, Ordering::Relaxed);
        Ok(InitializeResult { protocol, manifest })
    }

    fn take(&self, table: &VersionTable) -> Result<Taken, AdapterError> {
        let refused = |why: String| {
            let message = format!("the table of versions {} is refused: {why}", table.serial);
            AdapterError::new(ErrorCode::InvalidParams, message)
        };
        match self.adapter.versions() {
            Some(versions) => versions.take(table).map_err(refused),
            None => Err(refused("this adapter takes none".to_owned())),
        }
    }

    fn taken(&self) -> Option<Taken> {
        self.versions.get().copied().flatten()
    }

    fn render(
        &self,
        params: RenderParams,
        call: &CallContext,
    ) -> Result<RenderResult, AdapterError> {
        let mut result = self.adapter.render(params, call)?;
        if let Some(scratch) = self.scratch.get().filter(|path| path.is_dir()) {
            spill::spill(&mut result, scratch)?;
        }
        Ok(result)
    }
}

fn unsupported(theirs: &[ProtocolVersion]) -> AdapterError {
    let theirs: Vec<String> = theirs.iter().map(ToString::to_string).collect();
    let message = format!(
        "this adapter speaks protocol {PROTOCOL}, the host {}",
        theirs.join(" and ")
    );
    let data = ErrorData {
        supported: vec![PROTOCOL],
        ..ErrorData::default()
    };
    AdapterError {
        data,
        ..AdapterError::new(ErrorCode::ProtocolUnsupported, message)
    }
}

/// Makes the table of methods.
pub(crate) fn methods<A: Adapter>(state: Arc<State<A>>) -> Methods {
    let mut module = RpcModule::from_arc(state);
    add::<A, Initialize>(&mut module, |state, params, _| state.initialize(params));
    add::<A, GetInputs>(&mut module, |state, params, call| {
        state.adapter.get_inputs(params, call)
    });
    add::<A, Validate>(&mut module, |state, params, call| {
        state.adapter.validate(params, call)
    });
    add::<A, Discover>(&mut module, |state, params, call| {
        state.adapter.discover(params, call)
    });
    add::<A, Render>(&mut module, |state, params, call| {
        state.render(params, call)
    });
    add::<A, Scripts>(&mut module, |state, params, call| {
        state.adapter.scripts(params, call)
    });
    add::<A, GenerateSecrets>(&mut module, |state, params, call| {
        state.adapter.generate_secrets(params, call)
    });
    add::<A, CheckSecrets>(&mut module, |state, params, call| {
        state.adapter.check_secrets(params, call)
    });
    add::<A, Shutdown>(&mut module, |state, _, _| {
        state.shut_down.store(true, Ordering::Relaxed);
        Ok(ShutdownResult {})
    });
    module.into()
}

type Handler<A, M> = fn(
    &State<A>,
    <M as Method>::Params,
    &CallContext,
) -> Result<<M as Method>::Result, AdapterError>;

fn add<A: Adapter, M: Method + 'static>(module: &mut RpcModule<State<A>>, handler: Handler<A, M>) {
    module
        .register_async_method(M::NAME, move |params, state, _| async move {
            if M::NAME != Initialize::NAME && !state.initialized.load(Ordering::Relaxed) {
                let message = format!("`{}` came before `initialize`", M::NAME);
                return Err(object(AdapterError::new(
                    ErrorCode::NotInitialized,
                    message,
                )));
            }
            let params = parse::<M>(&params)?;
            on_thread::<A, M>(state, params, handler).await
        })
        .expect("every method has a name of its own");
}

fn parse<M: Method>(params: &Params<'_>) -> Result<M::Params, ErrorObjectOwned> {
    serde_json::from_str(params.as_str().unwrap_or("{}")).map_err(|error| {
        let message = format!(
            "the parameters of `{}` do not have its form: {error}",
            M::NAME
        );
        object(AdapterError::new(ErrorCode::InvalidParams, message))
    })
}

async fn on_thread<A: Adapter, M: Method + 'static>(
    state: Arc<State<A>>,
    params: M::Params,
    handler: Handler<A, M>,
) -> Answer {
    let call = state.begin(params.call().clone());
    let call_id = call.call.id.clone();
    let thread = tokio::task::spawn_blocking({
        let state = Arc::clone(&state);
        move || {
            let result =
                versions::with(state.taken(), || handler(&state, params, &call)).map_err(object)?;
            to_raw_value(&result)
                .map_err(|error| object(AdapterError::internal(format!("not JSON: {error}"))))
        }
    });
    let answer = thread.await.unwrap_or_else(|error| {
        let why = error
            .try_into_panic()
            .map_or_else(|error| error.to_string(), |panic| panic_text(&*panic));
        Err(object(AdapterError::internal(format!(
            "adapter panicked: {why}"
        ))))
    });
    state.end(&call_id);
    answer
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Turns an adapter's error into what goes on the wire.
pub(crate) fn object(error: AdapterError) -> ErrorObjectOwned {
    let data = (error.data != ErrorData::default()).then_some(error.data);
    ErrorObjectOwned::owned(error.code.into(), error.message, data)
}

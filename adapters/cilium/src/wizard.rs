//! The wizard's questions. Which ones there are depends on the answers so far; every other key keeps its default until someone edits the file.

use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::message::{GetInputsParams, InputPrompt, InputType};

/// Lists the questions.
pub(crate) fn questions(params: &GetInputsParams) -> Vec<InputPrompt> {
    let mut questions = vec![gateway_api(), bgp_enabled()];
    if params.answers.get("bgp_enabled") == Some(&Value::Bool(true)) {
        questions.extend([bgp_asn(), bgp_peers(), load_balancer_cidrs()]);
    }
    questions
}

fn gateway_api() -> InputPrompt {
    InputPrompt {
        help_text: Some(
            "installs the Gateway API's definitions and a GatewayClass named `cilium`".into(),
        ),
        ..question(
            "gateway_api",
            "Use the Gateway API?",
            InputType::Boolean,
            json!(true),
        )
    }
}

fn bgp_enabled() -> InputPrompt {
    InputPrompt {
        help_text: Some(
            "announces service addresses to your routers; Hetzner Cloud networks have no BGP peer"
                .into(),
        ),
        ..question(
            "bgp_enabled",
            "Announce addresses over BGP?",
            InputType::Boolean,
            json!(false),
        )
    }
}

fn bgp_asn() -> InputPrompt {
    InputPrompt {
        validation: Some("[1-9][0-9]{0,9}".into()),
        help_text: Some("of the nodes, 1 to 4294967295; 64512 to 65534 are for private use".into()),
        required: true,
        ..question(
            "bgp_asn",
            "Autonomous system number",
            InputType::Integer,
            json!(64512),
        )
    }
}

fn bgp_peers() -> InputPrompt {
    let text = |name, prompt, validation: &str, required| InputPrompt {
        validation: Some(validation.into()),
        required,
        ..question(name, prompt, InputType::String, Value::Null)
    };
    let asn = InputPrompt {
        validation: Some("[1-9][0-9]{0,9}".into()),
        required: true,
        ..question(
            "asn",
            "Its autonomous system number",
            InputType::Integer,
            Value::Null,
        )
    };
    InputPrompt {
        help_text: Some("the routers that every node connects to".into()),
        required: true,
        items: vec![
            text("address", "Router's IP address", "[0-9A-Fa-f:.]+", true),
            asn,
        ],
        ..question("bgp_peers", "Routers", InputType::List, Value::Null)
    }
}

fn load_balancer_cidrs() -> InputPrompt {
    InputPrompt {
        validation: Some("[0-9A-Fa-f:.]+/[0-9]+".into()),
        help_text: Some(
            "ranges for services of type LoadBalancer, such as 198.51.100.0/28; empty: none".into(),
        ),
        ..question(
            "load_balancer_cidrs",
            "Address ranges to announce",
            InputType::List,
            Value::Null,
        )
    }
}

fn question(name: &str, prompt: &str, kind: InputType, default: Value) -> InputPrompt {
    InputPrompt {
        name: name.into(),
        prompt: prompt.into(),
        kind,
        default: (!default.is_null()).then_some(default),
        ..InputPrompt::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(answers: Value, names: &[&str]) {
        let params: GetInputsParams = serde_json::from_value(json!({"answers": answers})).unwrap();
        let questions = questions(&params);
        assert_eq!(
            questions
                .iter()
                .map(|question| question.name.as_str())
                .collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn bgp_is_asked_about_only_where_it_is_wanted() {
        expect(json!({}), &["gateway_api", "bgp_enabled"]);
        expect(
            json!({"bgp_enabled": false}),
            &["gateway_api", "bgp_enabled"],
        );
        expect(
            json!({"bgp_enabled": true}),
            &[
                "gateway_api",
                "bgp_enabled",
                "bgp_asn",
                "bgp_peers",
                "load_balancer_cidrs",
            ],
        );
    }
}

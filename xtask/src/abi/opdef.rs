//! TensorFlow's `OpDef` and `KernelDef`, and the one line that shows each.
//!
//! Format: op_def.proto, kernel_def.proto and attr_value.proto in protobuf's JSON mapping
//! with the fields' own names: 64-bit integers are strings, bytes are base64, a field with
//! its default value is left out. A field that this code does not know is shown, not lost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::base64::STANDARD;

type Rest = BTreeMap<String, Value>;

/// An op, as `REGISTER_OP` describes it.
#[derive(Deserialize)]
pub(super) struct OpDef {
    name: String,
    #[serde(default)]
    input_arg: Vec<ArgDef>,
    #[serde(default)]
    output_arg: Vec<ArgDef>,
    #[serde(default)]
    attr: Vec<AttrDef>,
    #[serde(default, rename = "summary")]
    _summary: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct ArgDef {
    name: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    type_attr: String,
    #[serde(default)]
    number_attr: String,
    #[serde(default)]
    type_list_attr: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct AttrDef {
    name: String,
    r#type: String,
    default_value: Option<Value>,
    #[serde(default)]
    has_minimum: bool,
    #[serde(default)]
    minimum: Option<Value>,
    allowed_values: Option<Value>,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(flatten)]
    rest: Rest,
}

/// A kernel, as `REGISTER_KERNEL_BUILDER` describes it.
#[derive(Deserialize)]
pub(super) struct KernelDef {
    op: String,
    device_type: String,
    #[serde(default)]
    constraint: Vec<Constraint>,
    #[serde(default)]
    host_memory_arg: Vec<String>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    name: String,
    allowed_values: Value,
}

impl OpDef {
    /// `Name(in: T) -> (out: T); T: {float, double}; n: int >= 1 = 2; stateful`
    pub(super) fn signature(&self) -> Result<String, String> {
        let show = |args: &[ArgDef]| args.iter().map(ArgDef::show).collect::<Vec<_>>().join(", ");
        let (inputs, outputs) = (show(&self.input_arg), show(&self.output_arg));
        let mut line = format!("{}({inputs}) -> ({outputs})", self.name);
        for attr in &self.attr {
            line += "; ";
            line += &attr.show().map_err(|why| format!("op {}: {why}", self.name))?;
        }
        Ok(line + &rest(&self.rest))
    }
}

impl ArgDef {
    fn show(&self) -> String {
        let one = match (&*self.type_list_attr, &*self.type_attr) {
            ("", "") => type_name(&self.r#type).to_owned(),
            ("", attr) => attr.to_owned(),
            (list, _) => list.to_owned(),
        };
        let many = match &*self.number_attr {
            "" => one,
            number => format!("{number} * {one}"),
        };
        format!("{}: {many}{}", self.name, rest(&self.rest).replace("; ", " "))
    }
}

impl AttrDef {
    fn show(&self) -> Result<String, String> {
        let named = |why| format!("attr {}: {why}", self.name);
        let mut text = format!("{}: ", self.name);
        match &self.allowed_values {
            Some(allowed) => {
                let one_of = set(allowed).map_err(named)?;
                let list = self.r#type.starts_with("list(");
                text += &if list { format!("list({one_of})") } else { one_of };
            }
            None => text += &self.r#type,
        }
        if self.has_minimum {
            let minimum = self.minimum.as_ref().map_or_else(|| "0".to_owned(), plain);
            text += &format!(" >= {minimum}");
        }
        if let Some(default) = &self.default_value {
            text += &format!(" = {}", value(default).map_err(named)?);
        }
        Ok(text + &rest(&self.rest))
    }
}

impl KernelDef {
    /// `Name on CPU; T in {float}; host memory: indices`
    pub(super) fn signature(&self) -> Result<String, String> {
        let mut line = format!("{} on {}", self.op, self.device_type);
        for Constraint { name, allowed_values } in &self.constraint {
            let named = |why| format!("kernel of {}: constraint {name}: {why}", self.op);
            line += &format!("; {name} in {}", set(allowed_values).map_err(named)?);
        }
        if !self.host_memory_arg.is_empty() {
            line += &format!("; host memory: {}", self.host_memory_arg.join(", "));
        }
        Ok(line + &rest(&self.rest))
    }
}

/// `is_stateful: true` as `stateful`, and every other field as it is.
fn rest(fields: &Rest) -> String {
    let show = |(name, value): (&String, &Value)| match (name.strip_prefix("is_"), value) {
        (Some(flag), Value::Bool(true)) => format!("; {flag}"),
        (None, Value::Bool(true)) => format!("; {name}"),
        _ => format!("; {name}: {}", plain(value)),
    };
    fields.iter().map(show).collect()
}

/// `DT_FLOAT` as `float`.
fn type_name(name: &str) -> String {
    name.strip_prefix("DT_").unwrap_or(name).to_ascii_lowercase()
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An `AttrValue` that holds the list of allowed values: `{float, double}`.
fn set(allowed: &Value) -> Result<String, String> {
    let list = allowed.get("list").ok_or_else(|| format!("no list of values: {allowed}"))?;
    Ok(format!("{{{}}}", items(list)?))
}

/// An `AttrValue`: exactly one field, which says its type.
fn value(attr: &Value) -> Result<String, String> {
    let fields = attr.as_object().filter(|fields| fields.len() == 1);
    let Some((kind, value)) = fields.and_then(|fields| fields.iter().next()) else {
        return Err(format!("not a value of one type: {attr}"));
    };
    if kind == "list" { Ok(format!("[{}]", items(value)?)) } else { item(kind, value) }
}

/// A `ListValue`: one field that says the type, or none for an empty list.
fn items(list: &Value) -> Result<String, String> {
    let fields = list.as_object().filter(|fields| fields.len() <= 1);
    let fields = fields.ok_or_else(|| format!("not a list of one type: {list}"))?;
    let Some((kind, values)) = fields.iter().next() else { return Ok(String::new()) };
    let values = values.as_array().ok_or_else(|| format!("not a list: {list}"))?;
    let shown: Vec<String> =
        values.iter().map(|value| item(kind, value)).collect::<Result<_, _>>()?;
    Ok(shown.join(", "))
}

fn item(kind: &str, value: &Value) -> Result<String, String> {
    match (kind, value) {
        ("type", Value::String(name)) => Ok(type_name(name)),
        ("s", Value::String(text)) => {
            let bytes = base64(text).ok_or_else(|| format!("not base64: {text}"))?;
            Ok(format!("\"{}\"", bytes.escape_ascii()))
        }
        ("i" | "f" | "b", value) => Ok(plain(value)),
        ("shape", shape) => dimensions(shape),
        (kind, value) => Ok(format!("{kind} {value}")),
    }
}

/// A `TensorShapeProto`: `[2, ?]`, or `?` of unknown rank.
fn dimensions(shape: &Value) -> Result<String, String> {
    if shape.get("unknown_rank") == Some(&Value::Bool(true)) {
        return Ok("?".to_owned());
    }
    let empty = Vec::new();
    let dims = shape.get("dim").map_or(Some(&empty), Value::as_array);
    let dims = dims.ok_or_else(|| format!("not a shape: {shape}"))?;
    let size = |dim: &Value| match dim.get("size").map_or_else(|| "0".to_owned(), plain) {
        unknown if unknown == "-1" => "?".to_owned(),
        known => known,
    };
    Ok(format!("[{}]", dims.iter().map(size).collect::<Vec<_>>().join(", ")))
}

/// RFC 4648, section 4, padded.
fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    STANDARD.decode(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn op(json: &str) -> String {
        serde_json::from_str::<OpDef>(json).unwrap().signature().unwrap()
    }

    fn kernel(json: &str) -> String {
        serde_json::from_str::<KernelDef>(json).unwrap().signature().unwrap()
    }

    #[test]
    fn an_op_is_one_line_in_register_op_notation() {
        let line = op(r#"{"name":"Mix","input_arg":[{"name":"a","type":"DT_INT32"},
            {"name":"b","type_attr":"T","number_attr":"N"},{"name":"c","type_list_attr":"Ts"},
            {"name":"v","type_attr":"T","is_ref":true}],
            "output_arg":[{"name":"o","type_attr":"T","description":"doc"}],
            "attr":[{"name":"T","type":"type","default_value":{"type":"DT_FLOAT"},
                "allowed_values":{"list":{"type":["DT_FLOAT","DT_BFLOAT16"]}}},
              {"name":"N","type":"int","has_minimum":true,"minimum":"2"},
              {"name":"M","type":"int","has_minimum":true,"default_value":{"i":"3"}},
              {"name":"Ts","type":"list(type)","default_value":{"list":{}}},
              {"name":"how","type":"string","default_value":{"s":"YSI="},
                "allowed_values":{"list":{"s":["YSI=","Yg=="]}}},
              {"name":"s","type":"shape","default_value":{"shape":{"dim":[{"size":"-1"},{"size":"2"}]}}},
              {"name":"u","type":"shape","default_value":{"shape":{"unknown_rank":true}}},
              {"name":"f","type":"float","default_value":{"f":0.5}},
              {"name":"g","type":"float","default_value":{"f":"Infinity"}}],
            "summary":"s","description":"d","is_stateful":true,"brand_new":{"x":1}}"#);
        insta::assert_snapshot!(line, @r#"Mix(a: int32, b: N * T, c: Ts, v: T ref) -> (o: T); T: {float, bfloat16} = float; N: int >= 2; M: int >= 0 = 3; Ts: list(type) = []; how: {"a\"", "b"} = "a\""; s: shape = [?, 2]; u: shape = ?; f: float = 0.5; g: float = Infinity; brand_new: {"x":1}; stateful"#);
    }

    #[test]
    fn a_kernel_is_one_line() {
        let line = kernel(
            r#"{"op":"Mix","device_type":"CPU","constraint":[{"name":"T",
            "allowed_values":{"list":{"type":["DT_FLOAT"]}}}],"host_memory_arg":["a","c"],
            "priority":1}"#,
        );
        insta::assert_snapshot!(line, @"Mix on CPU; T in {float}; host memory: a, c; priority: 1");
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(base64("").as_deref(), Some(&b""[..]));
        assert_eq!(base64("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(base64("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(base64("Zm9vYmFy").as_deref(), Some(&b"foobar"[..]));
        for wrong in ["Zg", "Zg=", "Z===", "Zm9*", "===="] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }

    /// Any JSON, in which the names that mean something occur often.
    fn json() -> impl Strategy<Value = Value> {
        let word =
            prop::sample::select(vec!["list", "type", "s", "i", "shape", "dim", "size", "new"]);
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[A-Z=/]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(word.clone(), inner, 0..4)
                    .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_breaks_the_reader(default in json(), allowed in json(), more in json()) {
            let attr = serde_json::json!({"name": "a", "type": "t", "default_value": default,
                "allowed_values": allowed, "has_minimum": true, "minimum": more});
            let op = serde_json::json!({"name": "Op", "attr": [attr], "more": more});
            let line = serde_json::from_value::<OpDef>(op).unwrap().signature();
            prop_assert!(line.is_err() || line.is_ok_and(|line| line.starts_with("Op() -> (); a: ")));
            let constraint = serde_json::json!({"name": "T", "allowed_values": default});
            let kernel = serde_json::json!({"op": "Op", "device_type": "CPU", "constraint": [constraint]});
            drop(serde_json::from_value::<KernelDef>(kernel).unwrap().signature());
        }

        #[test]
        fn a_string_attribute_is_shown_whole(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let encoded = encode(&bytes);
            prop_assert_eq!(base64(&encoded), Some(bytes.clone()));
            let shown = value(&serde_json::json!({"s": encoded})).unwrap();
            prop_assert_eq!(shown, format!("\"{}\"", bytes.escape_ascii()));
        }
    }

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |chunk: &[u8]| {
            let bits = (0..3).fold(0usize, |bits, at| {
                bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
            });
            let digit = |at: usize| match at <= chunk.len() {
                true => char::from(DIGITS[bits >> (18 - 6 * at) & 63]),
                false => '=',
            };
            (0..4).map(digit).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }
}

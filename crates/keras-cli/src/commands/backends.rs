//! `keras backends`

use keras_spec::Device;
use serde_json::{Value, json};

use crate::answer::{Answer, BAD, DIM, GOOD, Result, TITLE};

#[derive(Debug, clap::Args)]
pub(crate) struct Backends {}

impl Backends {
    pub(crate) fn run(self) -> Result<Answer> {
        let default = Device::default_device();
        let mut text = String::new();
        let mut list = Vec::new();
        for entry in keras_spec::backends() {
            let check = (entry.check)();
            let devices = if check.is_ok() { (entry.devices)() } else { Vec::new() };
            let state = match &check {
                Ok(()) => format!("{GOOD}works{GOOD:#}  devices: {}", devices.join(", ")),
                Err(why) => format!("{BAD}unusable{BAD:#}  {why}"),
            };
            let priority = format!("{DIM}priority {}{DIM:#}", entry.priority);
            text += &format!("{TITLE}{:10}{TITLE:#}  {priority:20}  {state}\n", entry.name);
            list.push(json!({
                "name": entry.name,
                "priority": entry.priority,
                "works": check.is_ok(),
                "why": check.err(),
                "devices": devices,
            }));
        }
        let chosen = match &default {
            Ok(device) => {
                text += &format!("models run on {device}\n");
                Value::from(device.to_string())
            }
            Err(e) => {
                text += &format!("no backend is chosen: {e}\n");
                Value::Null
            }
        };
        let why = default.err().map(|e| e.to_string());
        Ok(Answer::new(text, json!({ "backends": list, "default": chosen, "why_none": why })))
    }
}

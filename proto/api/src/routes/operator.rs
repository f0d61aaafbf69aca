//! The operator's rows: whom a node trusts, and with what.

use schemars::SchemaGenerator as Generator;

use super::{Auth, Body, Parameter, Place, Route, SchemaOf, json};
use crate::codes::{self, Code};
use crate::http::{
    EpochRenewed, GarbageReport, GarbageRequest, ImageInfo, ImageList, IssuerList, IssuerUpdate, IssuerView,
    RefusalList, SignerDocument, SignerList, SourceDocument, SourceList, SourceTest, TaskConsole, TaskPlan,
};
use crate::task::{Name, Wrapper};

const fn path(name: &'static str, description: &'static str, schema: SchemaOf) -> Parameter {
    Parameter { name, place: Place::Path, description, schema }
}

const ISSUER: Parameter = path("name", "Name of the issuer.", Generator::subschema_for::<Name>);
const SOURCE: Parameter = path("name", "Name of the source.", Generator::subschema_for::<Name>);
const KEY_ID: Parameter = path("key_id", "64 hexadecimal digits.", Generator::subschema_for::<String>);
const DIGEST: Parameter = path("digest", "64 hexadecimal digits.", Generator::subschema_for::<String>);

/// A row that takes no body; what it answers is in the type.
const fn row(
    method: &'static str,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    answer: Option<Body>,
) -> Route {
    let success = match answer {
        Some(body) => (200, "Done.", Some(body)),
        None => (204, "Done.", None),
    };
    Route {
        method,
        path,
        operation,
        summary,
        auth: Auth::LocalSocket,
        parameters: &[],
        request: None,
        success,
        problems: &[],
    }
}

impl Route {
    const fn at(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn takes(mut self, body: Option<Body>) -> Self {
        self.request = body;
        self
    }

    const fn or(mut self, problems: &'static [Code]) -> Self {
        self.problems = problems;
        self
    }
}

const IMAGE_FILE: Option<Body> = Some(Body { media_type: "application/octet-stream", schema: None });
const ISSUER_VIEW: Option<Body> = json(Generator::subschema_for::<IssuerView>);

/// Routes that are answered on the node's local socket alone.
pub const OPERATOR_ROUTES: &[Route] = &[
    row(
        "GET",
        "/v1/admin/issuers",
        "listIssuers",
        "List the issuers that the node knows, with keys and policy.",
        json(Generator::subschema_for::<IssuerList>),
    ),
    row(
        "PUT",
        "/v1/admin/issuers/{name}",
        "putIssuer",
        "Add an issuer, a key of it, or replace its policy.",
        ISSUER_VIEW,
    )
    .at(&[ISSUER])
    .takes(json(Generator::subschema_for::<IssuerUpdate>))
    .or(&[codes::JSON_SYNTAX, codes::POSSESSION_NOT_PROVEN, codes::ISSUER_MISMATCH, codes::KEY_REVOKED]),
    row("DELETE", "/v1/admin/issuers/{name}", "revokeIssuer", "Revoke every key of an issuer.", ISSUER_VIEW)
        .at(&[ISSUER])
        .or(&[codes::ROUTE_NOT_FOUND]),
    row(
        "DELETE",
        "/v1/admin/issuers/{name}/keys/{key_id}",
        "revokeKey",
        "Revoke one key of an issuer.",
        ISSUER_VIEW,
    )
    .at(&[ISSUER, KEY_ID])
    .or(&[codes::ROUTE_NOT_FOUND]),
    row(
        "GET",
        "/v1/admin/sources",
        "listSources",
        "List the registered sources, without passwords.",
        json(Generator::subschema_for::<SourceList>),
    ),
    row(
        "PUT",
        "/v1/admin/sources/{name}",
        "putSource",
        "Register a source, or replace it.",
        json(Generator::subschema_for::<SourceDocument>),
    )
    .at(&[SOURCE])
    .takes(json(Generator::subschema_for::<SourceDocument>))
    .or(&[codes::JSON_SYNTAX, codes::NAME_REFUSED, codes::NUMBER_OUT_OF_RANGE]),
    row("DELETE", "/v1/admin/sources/{name}", "removeSource", "Remove a source.", None)
        .at(&[SOURCE])
        .or(&[codes::SOURCE_UNKNOWN]),
    row(
        "POST",
        "/v1/admin/sources/{name}/test",
        "testSource",
        "Ask a source whether it is there.",
        json(Generator::subschema_for::<SourceTest>),
    )
    .at(&[SOURCE])
    .or(&[codes::SOURCE_UNKNOWN]),
    row(
        "POST",
        "/v1/admin/plans",
        "planTask",
        "Tell what a wrapper would read and take, and whether it would be taken; nothing runs.",
        json(Generator::subschema_for::<TaskPlan>),
    )
    .takes(json(Generator::subschema_for::<Wrapper>))
    .or(&[codes::JSON_SYNTAX]),
    row(
        "GET",
        "/v1/admin/signers",
        "listSigners",
        "List the keys that are trusted for images.",
        json(Generator::subschema_for::<SignerList>),
    ),
    row(
        "PUT",
        "/v1/admin/signers/{key_id}",
        "putSigner",
        "Trust a key for images.",
        json(Generator::subschema_for::<SignerDocument>),
    )
    .at(&[KEY_ID])
    .takes(json(Generator::subschema_for::<SignerDocument>))
    .or(&[codes::JSON_SYNTAX, codes::KEY_ID_MALFORMED]),
    row("DELETE", "/v1/admin/signers/{key_id}", "removeSigner", "Trust a key for images no longer.", None)
        .at(&[KEY_ID])
        .or(&[codes::ROUTE_NOT_FOUND]),
    row(
        "GET",
        "/v1/admin/images",
        "listImages",
        "List the images with who may use them and what does.",
        json(Generator::subschema_for::<ImageList>),
    ),
    Route {
        success: (201, "Stored.", json(Generator::subschema_for::<ImageInfo>)),
        ..row("POST", "/v1/admin/images", "addImage", "Add a packed image.", None).takes(IMAGE_FILE).or(&[
            codes::IMAGE_NOT_ONE,
            codes::IMAGE_SIGNER_UNKNOWN,
            codes::IMAGE_TOO_LARGE,
        ])
    },
    row(
        "POST",
        "/v1/admin/images/gc",
        "collectImages",
        "Remove images that no policy allows, nothing uses, and newer ones stand in for.",
        json(Generator::subschema_for::<GarbageReport>),
    )
    .takes(json(Generator::subschema_for::<GarbageRequest>))
    .or(&[codes::JSON_SYNTAX]),
    row("GET", "/v1/admin/images/{digest}", "getImage", "The file of an image, as it was added.", IMAGE_FILE)
        .at(&[DIGEST])
        .or(&[codes::IMAGE_REFERENCE_MALFORMED, codes::IMAGE_UNKNOWN]),
    row("DELETE", "/v1/admin/images/{digest}", "removeImage", "Remove an image.", None).at(&[DIGEST]).or(&[
        codes::IMAGE_REFERENCE_MALFORMED,
        codes::IMAGE_UNKNOWN,
        codes::IMAGE_IN_USE,
    ]),
    row(
        "GET",
        "/v1/admin/tasks/{id}/console",
        "getConsole",
        "What the last guest of a task wrote on its console that wrote anything.",
        json(Generator::subschema_for::<TaskConsole>),
    )
    .at(&[super::ID])
    .or(&[codes::TASK_NOT_FOUND, codes::TASK_ID_IN_PATH_MALFORMED]),
    row(
        "GET",
        "/v1/admin/refusals",
        "listRefusals",
        "List what was refused at the door, newest first.",
        json(Generator::subschema_for::<RefusalList>),
    ),
    row(
        "POST",
        "/v1/admin/epoch",
        "renewEpoch",
        "Renew the node's epoch: all wrappers signed so far are worthless then.",
        json(Generator::subschema_for::<EpochRenewed>),
    ),
];

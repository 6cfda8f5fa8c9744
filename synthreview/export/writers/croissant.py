"""Croissant metadata: what search engines and loaders read of a dataset (croissant.json).

Source: the Croissant format specification 1.1 of MLCommons, with the words of its RAI vocabulary
for how the data were made and labelled. Written by hand here, so that exporting needs no
further library; the tests read it with `mlcroissant`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synthreview.export.writers.base import ExportFacts, Layout
from synthreview.lib.licences import licence_of

CROISSANT = "croissant.json"
MANIFEST = "manifest.jsonl"
VERSION = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Columns of the manifest that every row has, with their types.
FIELDS = (
    ("file_name", "sc:Text", "Where the image lies, or is unpacked to"),
    ("split", "sc:Text", "train, validation or test"),
    ("class", "sc:Text", "The class's name"),
    ("label", "sc:Integer", "The class's number"),
    ("sha256", "sc:Text", "Checksum of the image's bytes"),
    ("width", "sc:Integer", "In pixels"),
    ("height", "sc:Integer", "In pixels"),
    ("id", "sc:Integer", "The image's number where it was reviewed"),
    ("prompt", "sc:Text", "The caption that was drawn"),
    ("technique", "sc:Text", "How the image was made"),
    ("generator", "sc:Text", "What made it"),
    ("model", "sc:Text", "The generator's model"),
    ("family", "sc:Text", "Images of one family are in one split"),
    ("decision", "sc:Text", "approved by people, or unreviewed under a certificate"),
)


def croissant_text(facts: ExportFacts, layout: Layout, manifest_sha256: str) -> str:
    """Return the JSON-LD of the export, whose manifest has that checksum."""
    return (
        json.dumps(_metadata(facts, layout, manifest_sha256), ensure_ascii=False, indent=1) + "\n"
    )


def _metadata(facts: ExportFacts, layout: Layout, manifest_sha256: str) -> dict[str, Any]:
    licence = licence_of(facts.licence)
    generators = list(facts.tables.get("generator", {}))
    certificate = facts.certificate.get("sentence") or str(facts.review.get("label error", ""))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, RAI],
        "name": " ".join(facts.title.split()) or "dataset",
        "description": facts.description or f"{facts.item_count} labelled synthetic images.",
        "version": f"{facts.number}.0.0",
        "datePublished": facts.created,
        **({"license": licence.url or licence.name} if licence else {}),
        "isLiveDataset": False,
        "keywords": ["synthetic", "image classification"],
        "rai:dataCollection": "Images were drawn by generators from captions and judged by people.",
        "rai:dataCollectionType": ["Synthetic Data Generation"],
        "rai:machineAnnotationTools": generators,
        "rai:dataAnnotationProtocol": [
            f"{key}: {value}" for key, value in facts.review.items() if key != "label error"
        ],
        "rai:dataAnnotationAnalysis": [certificate] if certificate else [],
        "rai:dataLimitations": [*facts.notices, *facts.certificate.get("caveats", ())],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": MANIFEST,
                "contentUrl": MANIFEST,
                "encodingFormat": "application/jsonlines",
                "sha256": manifest_sha256,
            },
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{split}-files",
                    "name": f"{split}-files",
                    "description": f"The files of the split {split}.",
                    "encodingFormat": list(layout.encodings),
                    "includes": layout.pattern.format(split=split),
                }
                for split in facts.splits
            ),
        ],
        "recordSet": [_labels(facts), _images()],
    }


def _labels(facts: ExportFacts) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "The classes and their numbers.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "labels/label"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"labels/{name}",
                "name": f"labels/{name}",
                "dataType": kind,
            }
            for name, kind in (
                ("label", "sc:Integer"),
                ("name", "sc:Text"),
                ("definition", "sc:Text"),
            )
        ],
        "data": [
            {
                "labels/label": number,
                "labels/name": row.name,
                "labels/definition": row.definition,
            }
            for number, row in enumerate(facts.classes)
        ],
    }


def _images() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "Every image with its label and history.",
        "key": {"@id": "images/file_name"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"images/{name}",
                "name": f"images/{name}",
                "description": what,
                "dataType": kind,
                **({"references": {"field": {"@id": "labels/label"}}} if name == "label" else {}),
                "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": name}},
            }
            for name, kind, what in FIELDS
        ],
    }

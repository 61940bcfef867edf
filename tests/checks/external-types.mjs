// Which types of other crates the public interface of a crate names: only those that are allowed. A breaking release of any other
// dependency must not be one of ours.
//
//     node tests/checks/external-types.mjs RUSTDOC.json [ALLOWED_CRATE...]
import { readFileSync } from "node:fs";

const [file, ...allowed] = process.argv.slice(2);
const documented = JSON.parse(readFileSync(file, "utf8"));
const own = documented.index[documented.root].crate_id;
const fine = new Set(["core", "alloc", "std", ...allowed]);

// Paths of types and traits of other crates, and the items that name them.
const found = new Map();
let looked = 0;
for (const item of Object.values(documented.index)) {
    // What the compiler derives for every type names nothing of ours.
    if (item.crate_id !== own || item.inner.impl?.is_synthetic || item.inner.impl?.blanket_impl) continue;
    looked += 1;
    visit(item.inner, item.name ?? item.span?.filename ?? "an impl");
}
if (looked < 100) fail(`${file} documents ${looked} items: that cannot be all`);
const used = new Set([...found.values()].map(({ crate }) => crate));
const forbidden = [...found].filter(([, { crate }]) => !fine.has(crate));
for (const [path, { by }] of forbidden) console.error(`${path} is in the public interface, by ${[...by].slice(0, 5).join(", ")}`);
for (const crate of allowed.filter((crate) => !used.has(crate))) console.error(`${crate} is allowed, and not used`);
if (forbidden.length > 0 || allowed.some((crate) => !used.has(crate))) process.exit(1);
console.log(`${looked} items name types of ${[...used].sort().join(", ")} only`);

function visit(node, by) {
    if (Array.isArray(node)) return node.forEach((part) => visit(part, by));
    if (node === null || typeof node !== "object") return;
    // A path to a type or a trait is the one kind of node with an id and generic arguments beside its name.
    if ("path" in node && "id" in node && "args" in node) note(node.id, by);
    for (const part of Object.values(node)) visit(part, by);
}

function note(id, by) {
    const target = documented.paths[id];
    if (target === undefined || target.crate_id === own) return;
    const crate = documented.external_crates[target.crate_id].name;
    const path = target.path.join("::");
    if (!found.has(path)) found.set(path, { crate, by: new Set() });
    found.get(path).by.add(by);
}

function fail(why) {
    console.error(why);
    process.exit(1);
}

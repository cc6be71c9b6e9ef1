// SPDX-License-Identifier: Apache-2.0
//
// Times ONNX Runtime (npm onnxruntime-node) on one thread, or writes its outputs.
//
//   node onnxruntime.js MODEL LENGTH SECONDS [NAMES]  prints "best median" in ms; NAMES: its
//                                                   inputs, or it is another model
//   node onnxruntime.js MODEL --run IN_DIR OUT_DIR  IN_DIR/<input>.npy -> OUT_DIR/<output>.npy
//   node onnxruntime.js MODEL --embed IDS OUT       JSON lists of token ids -> sums of the last hidden states
const fs = require('fs');
const path = require('path');
const ort = require(path.join(__dirname, '../../third_party/node_modules/onnxruntime-node'));

const kTypes = {
  '<f4': ['float32', Float32Array], '<i8': ['int64', BigInt64Array],
  '<i4': ['int32', Int32Array], '|b1': ['bool', Uint8Array],
};

function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const length = bytes.readUInt16LE(8);
  const header = bytes.toString('latin1', 10, 10 + length);
  const [type, Array] = kTypes[/'descr': '([^']*)'/.exec(header)[1]];
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(',').filter(s => s.trim()).map(Number);
  const data = bytes.subarray(10 + length);
  return new ort.Tensor(type, new Array(Uint8Array.from(data).buffer), shape);
}

function writeNpy(file, tensor) {
  const descr = Object.keys(kTypes).find(key => kTypes[key][0] === tensor.type);
  const shape = tensor.dims.length === 1 ? `${tensor.dims[0]},` : tensor.dims.join(', ');
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
  const size = Buffer.alloc(2);
  size.writeUInt16LE(header.length);
  const data = Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  fs.writeFileSync(file, Buffer.concat([start, size, Buffer.from(header, 'latin1'), data]));
}

// The inputs that rt3c bench takes: any ids, masks of ones.
function sampleInputs(session, length) {
  const feeds = {};
  for (const meta of session.inputMetadata) {
    const dims = meta.shape.map(size => typeof size === 'number' && size > 0 ? size : null);
    // The first open dimension is the batch if there are two.
    const open = dims.filter(size => size === null).length;
    let seen = 0;
    const shape = dims.map(size => size !== null ? size : (++seen < open ? 1 : length));
    const count = shape.reduce((a, b) => a * b, 1);
    const value = i => meta.name.includes('mask') ? 1 : meta.name.includes('type') ? 0 : i % 128;
    if (meta.type === 'int64')
      feeds[meta.name] = new ort.Tensor('int64', BigInt64Array.from({length: count}, (_, i) => BigInt(value(i))), shape);
    else
      feeds[meta.name] = new ort.Tensor('float32', Float32Array.from({length: count}, (_, i) => Math.sin(i)), shape);
  }
  return feeds;
}

async function main() {
  const [model, second, third, fourth] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3,
  });
  if (second === '--run') {
    const feeds = {};
    for (const name of session.inputNames)
      feeds[name] = readNpy(path.join(third, `${name}.npy`));
    const results = await session.run(feeds);
    for (const name of session.outputNames)
      writeNpy(path.join(fourth, `${name}.npy`), results[name]);
    return;
  }
  if (second === '--embed') {
    const rows = [];
    for (const ids of JSON.parse(fs.readFileSync(third))) {
      const tensor = value => new ort.Tensor('int64', BigInt64Array.from(ids, value), [1, ids.length]);
      const feeds = {input_ids: tensor(id => BigInt(id)), attention_mask: tensor(() => 1n), token_type_ids: tensor(() => 0n)};
      const {data, dims} = (await session.run(feeds)).last_hidden_state;
      const sums = new Array(dims[2]).fill(0);
      data.forEach((value, i) => { sums[i % dims[2]] += value; });
      rows.push(sums);
    }
    fs.writeFileSync(fourth, JSON.stringify(rows));
    return;
  }
  if (fourth !== undefined && fourth.split(',').sort().join() !== [...session.inputNames].sort().join())
    throw new Error(`${model} has the inputs ${session.inputNames}, expected ${fourth}`);
  const feeds = sampleInputs(session, Number(second));
  const times = [];
  for (let i = 0; i < 3; ++i)
    await session.run(feeds);
  const end = process.hrtime.bigint() + BigInt(Math.round(Number(third) * 1e9));
  while (times.length < 5 || process.hrtime.bigint() < end) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  console.log(times[0].toFixed(4), times[times.length >> 1].toFixed(4));
}

main().catch(error => { console.error(String(error)); process.exit(1); });

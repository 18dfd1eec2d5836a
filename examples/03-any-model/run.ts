/** A graph of any kind over two peers: cut by itself, batched by itself, and with the bits that one peer alone gives. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createPeer } from '../../src/index.ts' // in your own program: from 'weft-mesh'
import type { NamedTensors, Peer } from '../../src/index.ts'
import { GraphBuilder } from '../../src/onnx/index.ts' // you would have a file

const WIDTH = 32
const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))

function model(): Uint8Array {
  const graph = new GraphBuilder()
  let value = graph.input('x', 'f32', ['batch', WIDTH])
  for (let layer = 0; layer < 8; layer++) {
    const numbers = Float32Array.from({ length: WIDTH * WIDTH }, (_, index) => Math.sin(index * (layer + 3)) / 4)
    const weights = graph.constant(`w${layer}`, 'f32', [WIDTH, WIDTH], numbers)
    const product = graph.node('MatMul', [value, weights])
    value = graph.node('Tanh', [product], {}, layer === 3 ? { outputs: ['middle'] } : {})
  }
  graph.node('Add', [value, 'x'], {}, { outputs: ['y'] })
  for (const name of ['y', 'middle']) graph.output(name, 'f32', ['batch', WIDTH])
  return graph.finish('example')
}

function start(name: string, bootstrap: readonly string[]): Promise<Peer> {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const home = join(folder, name)
  return createPeer({ home, name, network: 'example-03', lan: 'off', listen, bootstrap, threads: 1 })
}

try {
  await using alice = await start('alice', [])
  await using bob = await start('bob', alice.status().peer.addresses)
  while (!alice.status().peers.some((other) => other.state === 'connected')) await setTimeout(20)
  await writeFile(join(folder, 'example.onnx'), model())
  await alice.importModel(join(folder, 'example.onnx'))

  const data = Float32Array.from({ length: 64 * WIDTH }, (_, index) => Math.cos(index))
  const inputs: NamedTensors = { x: { type: 'float32', dims: [64, WIDTH], data } }
  const alone = await alice.infer('example', inputs, { placement: 'local', microBatch: 0 })
  const { outputs, route, stats } = await alice.infer('example', inputs)

  const names = new Map([alice, bob].map((peer) => [peer.id, peer.status().peer.name]))
  const same = Object.entries(alone.outputs).every(
    ([name, tensor]) => tensor.data.join() === outputs[name]?.data.join(),
  )
  const shapes = Object.entries(outputs).map(([name, { type, dims }]) => `${name} ${type}[${dims.join(',')}]`)
  process.stdout.write(`${route.map(({ peer, from, to }) => `${names.get(peer!)}[${from}:${to}]`).join(' -> ')}\n`)
  process.stdout.write(`${stats.units} ${stats.kind}, ${shapes.join(', ')}\n`)
  process.stdout.write(`the bits of one peer alone: ${same && route.length === 2 ? 'yes' : 'NO'}\n`)
  if (!same || route.length !== 2) process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}

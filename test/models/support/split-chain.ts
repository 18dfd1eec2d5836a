/** Runs the files of a split as anybody would: by path and by the names in manifest.json. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SplitManifest } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import type { Graph, Tensor } from '../../../src/onnx/index.ts'

export type Values = Readonly<Record<string, Tensor>>

export function readSplit(directory: string): SplitManifest {
  return JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as SplitManifest
}

export interface Chain {
  readonly manifest: SplitManifest
  /** All named tensors after a run of these ids over this past. */
  run(ids: readonly number[], past?: Values): Promise<Values>
  release(): Promise<void>
}

export async function openChain(directory: string, threads = 1): Promise<Chain> {
  const manifest = readSplit(directory)
  const engine = createOrtEngine()
  const graphs: Graph[] = []
  for (const { file } of manifest.partitions) graphs.push(await engine.load(join(directory, file), { threads }))
  return {
    manifest,
    async run(ids, past = {}) {
      const input: Tensor = { type: 'int64', dims: [ids.length], data: BigInt64Array.from(ids, BigInt) }
      let values: Values = { ...noPast(manifest), ...past, input_ids: input }
      for (const [index, { inputs, outputs }] of manifest.partitions.entries()) {
        const feeds = Object.fromEntries(inputs.map(({ name }) => [name, values[name]!]))
        values = {
          ...values,
          ...(await graphs[index]!.run(
            feeds,
            outputs.map(({ name }) => name),
          )),
        }
      }
      return values
    },
    release: async () => {
      for (const graph of graphs) await graph.release()
    },
  }
}

/** The caches of a session that has not begun. */
export function noPast({ partitions }: SplitManifest): Values {
  const caches = partitions.flatMap(({ inputs }) => inputs).filter(({ name }) => name.startsWith('past.'))
  return Object.fromEntries(
    caches.map(({ name, shape }): [string, Tensor] => {
      const dims = shape.map((dim) => (typeof dim === 'string' ? 0 : dim))
      return [name, { type: 'float32', dims, data: new Float32Array(0) }]
    }),
  )
}

/** What a run's caches are to the next one. */
export function pastOf(values: Values): Values {
  const present = Object.entries(values).filter(([name]) => name.startsWith('present.'))
  return Object.fromEntries(present.map(([name, tensor]) => [name.replace('present.', 'past.'), tensor]))
}

export function bytesOf(tensor: Tensor): Buffer {
  const { data } = tensor
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

export interface ChainResult {
  /** [rows, vocabulary] of all runs, one after another. */
  readonly logits: Buffer
  /** SHA-256 of the logits, and of each cache after the last run, by name. */
  readonly hashes: Readonly<Record<string, string>>
}

/** A session: ids in runs of these sizes, each over what the ones before left. */
export async function session(chain: Chain, ids: readonly number[], runs: readonly number[]): Promise<ChainResult> {
  const pieces: Buffer[] = []
  let past: Values = {}
  let at = 0
  for (const rows of runs) {
    const values = await chain.run(ids.slice(at, at + rows), past)
    at += rows
    past = pastOf(values)
    pieces.push(Buffer.from(bytesOf(values['logits']!)))
  }
  const logits = Buffer.concat(pieces)
  const caches = Object.entries(past).map(([name, tensor]) => [name, hashOf(bytesOf(tensor))] as const)
  return { logits, hashes: { logits: hashOf(logits), ...Object.fromEntries(caches) } }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

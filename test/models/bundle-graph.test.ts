/** Models of any kind as one file: the same model elsewhere, and bundles of them that lie. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { graphDigest, importAnyInChild, importModel, manifestAddresses, writeBundle } from '../../src/models/index.ts'
import type { ChildImportNeeds, GraphManifest } from '../../src/models/index.ts'
import { manifestBytes } from '../../src/models/bundle/layout.ts'
import { writeModel } from '../../src/onnx/index.ts'
import { exportModel, inferModel } from '../../src/peer/index.ts'
import { addressOfHashes, createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { crossing, endless, f32, write } from '../pipeline/graph/support/models.ts'
import { bundleOf, partsOf, sha256 } from './support/bundles.ts'
import type { BundlePart } from './support/bundles.ts'

const WIDTH = 32
const base = mkdtempSync(join(tmpdir(), 'weft-bundle-graph-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

async function home(name: string): Promise<ChildImportNeeds> {
  const folder = join(base, name)
  return {
    clock: systemClock(),
    store: await createBlobStore({ directory: join(folder, 'store') }),
    storeDirectory: join(folder, 'store'),
    directory: join(folder, 'partitions'),
    downloads: join(folder, 'downloads'),
    codeCache: join(folder, 'cache', 'code'),
  }
}

const bundle = join(base, 'crossing.weft')
let source: ChildImportNeeds
let victim: ChildImportNeeds
let manifest: GraphManifest
let parts: readonly BundlePart[]

beforeAll(async () => {
  source = await home('source')
  victim = await home('victim')
  const path = await write(base, 'crossing.onnx', crossing(WIDTH))
  manifest = (await importAnyInChild(source, { source: path })) as GraphManifest
  await writeBundle(source.store, { manifest, path: bundle })
  parts = partsOf(readFileSync(bundle))
}, 60_000)

describe('a bundle of a model that was an ONNX file', () => {
  it('has the manifest, the skeleton, and each weight once', () => {
    const [first, second, ...rest] = parts.map(({ name }) => name)
    expect(first).toBe('manifest.json')
    expect(second).toBe(`blobs/${manifest.blocks[0]!.tensors[0]!.address}`)
    expect(rest).toHaveLength(8)
    expect(manifestAddresses(manifest).size).toBe(9)
  })

  it('gives the same model in another home, where it gives the same bits, and the same file again', async () => {
    const there = await home('there')
    expect(await importAnyInChild(there, { source: bundle })).toEqual(manifest)
    const inputs = new Map([
      ['x', f32([3, WIDTH])],
      ['late', f32([3, WIDTH], 5)],
    ])
    const [here, elsewhere] = await Promise.all(
      ['source', 'there'].map((name) => inferModel({ home: join(base, name), model: 'crossing', inputs, threads: 1 })),
    )
    expect([...elsewhere!.outputs]).toEqual([...here!.outputs])
    const file = join(base, 'again.weft')
    await exportModel({ home: join(base, 'there'), model: 'crossing', file })
    expect(readFileSync(file).equals(readFileSync(bundle))).toBe(true)
    const reused: number[] = []
    const needs = { ...there, onReused: (blobs: number) => reused.push(blobs) }
    expect(await importAnyInChild(needs, { source: file, name: 'mine:1' })).toEqual({ ...manifest, model: 'mine:1' })
    expect(reused).toEqual([9])
    expect(readdirSync(there.downloads)).toEqual([])
  }, 60_000)

  it('is not written where a part of the model is missing', async () => {
    const there = await home('lacking')
    await importAnyInChild(there, { source: bundle })
    const lacking = manifest.blocks.findIndex(({ tensors }) => tensors.length > 1)
    await there.store.remove(manifest.blocks[lacking]!.tensors[1]!.address)
    const path = join(base, 'never.weft')
    await expect(writeBundle(there.store, { manifest, path })).rejects.toMatchObject({
      code: 'WEFT-MOD-071',
      details: { blocks: [lacking], tokenizer: false },
    })
    await there.store.remove(manifest.blocks[0]!.tensors[0]!.address)
    await expect(writeBundle(there.store, { manifest, path })).rejects.toMatchObject({
      details: { blocks: [...manifest.blocks.keys()] },
    })
  }, 60_000)

  it('refuses to be what it is not, before it is read', async () => {
    await expect(importModel(victim, { source: bundle, weights: 'q4' })).rejects.toMatchObject({ code: 'WEFT-MOD-074' })
  })
})

type Mutable<T> = T extends object ? { -readonly [Key in keyof T]: Mutable<T[Key]> } : T
type Wide = Mutable<GraphManifest>

/** A bundle whose manifest is changed, its digest made to fit. */
function withManifest(change: (copy: Wide) => void, others = parts): BundlePart[] {
  const copy = structuredClone(manifest) as Wide
  change(copy)
  return [{ name: 'manifest.json', content: manifestBytes({ ...copy, digest: graphDigest(copy) }) }, ...others.slice(1)]
}

const addressOf = (content: Uint8Array): string => addressOfHashes(sha256(content))

/** Another blob under the address that belongs to it, in place of the skeleton. */
function withSkeleton(content: Uint8Array): BundlePart[] {
  const [head, , ...rest] = parts
  const address = addressOf(content)
  const others = [head!, { name: `blobs/${address}`, content }, ...rest]
  const rename = ({ blocks }: Wide): void => {
    for (const { tensors } of blocks) Object.assign(tensors[0]!, { address, bytes: content.length })
  }
  return withManifest(rename, others)
}

/** The first weight of the first block that has one. */
const firstWeight = ({ blocks }: Wide): Wide['blocks'][number]['tensors'][number] =>
  blocks.find(({ tensors }) => tensors.length > 1)!.tensors[1]!

async function otherFile(name: string, made: Parameters<typeof write>[2]): Promise<Uint8Array> {
  return readFileSync(await write(base, name, made))
}

/** The skeleton with one weight whose bytes are said to lie in another file. */
async function pointing(location: string): Promise<Uint8Array> {
  const made = crossing(WIDTH)
  const folder = join(base, 'pointing')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'p.onnx')
  await writeModel(made, path, { external: 'always' })
  const [data] = readdirSync(folder).filter((name) => name !== 'p.onnx')
  const bytes = readFileSync(path)
  expect(data).toHaveLength(location.length)
  return Buffer.from(bytes.toString('latin1').replaceAll(data!, location), 'latin1')
}

const strange = addressOf(Buffer.from('of nobody'))
const CASES: readonly (readonly [string, () => BundlePart[] | Promise<BundlePart[]>, string, RegExp])[] = [
  [
    'a manifest that names another skeleton',
    () => withManifest(({ blocks }) => blocks.forEach(({ tensors }) => (tensors[0]!.address = strange))),
    '070',
    /does not name it|is missing/,
  ],
  [
    'a manifest that names another weight',
    () => withManifest((copy) => (firstWeight(copy).address = strange)),
    '070',
    /does not name it|is missing/,
  ],
  [
    'a weight that only some blocks name like this',
    () =>
      withManifest((copy) => {
        const weight = firstWeight(copy)
        const last = copy.blocks.findLast(({ tensors }) => !tensors.includes(weight))!
        last.tensors.push({ ...weight, address: strange })
        last.bytes += weight.bytes
      }),
    '006',
    /names another "w\d"/,
  ],
  ['two sizes of one blob', () => withManifest((copy) => (copy.blocks[1]!.tensors[0]!.bytes += 1)), '070', /has \d+ b/],
  [
    'a weight of another shape',
    () =>
      withManifest((copy) => {
        const weight = firstWeight(copy)
        weight.shape = [WIDTH, WIDTH, 1]
      }),
    '070',
    /no place for the tensor/,
  ],
  [
    'a weight of another name',
    () => withManifest((copy) => (firstWeight(copy).name = 'w\u001B[2J9')),
    '070',
    /no place for the tensor "w\\u001b/,
  ],
  [
    'a weight of fewer bytes than its shape asks for',
    () => {
      const content = Buffer.alloc(100, 1)
      const short = { address: addressOf(content), bytes: content.length }
      const from = firstWeight(manifest as Wide)
      const others = parts.map((part) =>
        part.name === `blobs/${from.address}` ? { name: `blobs/${short.address}`, content } : part,
      )
      return withManifest(({ blocks }) => {
        const block = blocks.find(({ tensors }) => tensors.length > 1)!
        block.bytes += short.bytes - from.bytes
        Object.assign(block.tensors[1]!, short)
      }, others)
    },
    '070',
    /has 100 bytes where its shape asks for/,
  ],
  [
    'weights that the manifest leaves out',
    () =>
      withManifest(
        ({ blocks }) => blocks.forEach((block) => Object.assign(block, { tensors: [block.tensors[0]!], bytes: 0 })),
        parts.slice(0, 2),
      ),
    '070',
    /inputs and outputs are not/,
  ],
  [
    'inputs of another model',
    () => withManifest((copy) => (copy.graph = { ...copy.graph, inputs: [...copy.graph.outputs] })),
    '070',
    /inputs and outputs are not/,
  ],
  ['a skeleton that is none', () => withSkeleton(Buffer.from('{"not":"a graph"}')), '070', /skeleton: it is no graph/],
  ['an empty skeleton', () => withSkeleton(new Uint8Array(0)), '070', /skeleton: it is no graph/],
  ['half a skeleton', () => withSkeleton(parts[1]!.content.slice(0, 300)), '070', /skeleton: it is no graph/],
  [
    'the skeleton of another model',
    async () => withSkeleton(await otherFile('endless.onnx', endless())),
    '070',
    /no place for the tensor/,
  ],
  [
    'a skeleton whose bytes lie in another file',
    async () => withSkeleton(await pointing('./../x.weft')),
    '070',
    /skeleton: it is no graph/,
  ],
  [
    'a digest that is not its own',
    () => [
      { name: 'manifest.json', content: manifestBytes({ ...manifest, digest: '0'.repeat(64) }) },
      ...parts.slice(1),
    ],
    '006',
    /digest/,
  ],
  [
    'a kind that nobody knows',
    () => [
      { name: 'manifest.json', content: Buffer.from(JSON.stringify({ ...manifest, kind: 'program' })) },
      ...parts.slice(1),
    ],
    '006',
    /kind/,
  ],
]

describe('a bundle of a graph with', () => {
  it.each(CASES)('%s is refused, and nothing is left of it', async (_, make, code, message) => {
    const path = join(base, 'hostile.weft')
    writeFileSync(path, bundleOf(await make()))
    const error = await importModel(victim, { source: path }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(WeftError)
    const { code: got, message: line } = error as WeftError
    expect(line).toMatch(message)
    expect(got).toBe(`WEFT-MOD-${code}`)
    // oxlint-disable-next-line no-control-regex -- what a terminal would obey is looked for
    expect(line).not.toMatch(/[\u0000-\u001F]/)
    const left = readdirSync(join(base, 'victim'), { recursive: true, withFileTypes: true })
    expect(left.filter((entry) => entry.isFile())).toEqual([])
    expect(readdirSync(victim.downloads)).toEqual([])
  })

  it('a bit of a weight that is wrong is refused', async () => {
    const content = Uint8Array.from(parts.at(-1)!.content)
    content[7]! ^= 1
    const path = join(base, 'hostile.weft')
    writeFileSync(path, bundleOf([...parts.slice(0, -1), { ...parts.at(-1)!, content }]))
    await expect(importModel(victim, { source: path })).rejects.toMatchObject({ code: 'WEFT-MOD-070' })
  })
})

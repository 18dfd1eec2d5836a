import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import {
  checkManifest,
  importModel,
  isModelName,
  loadManifest,
  loadManifests,
  manifestDigest,
  removeManifest,
  saveManifest,
} from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-manifest-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let manifest: ModelManifest

beforeAll(async () => {
  const source = join(base, 'tiny.gguf')
  writeFileSync(source, writeGguf(tinyLlama()))
  const store = await createBlobStore({ directory: join(base, 'store') })
  const needs = { store, clock: systemClock(), directory: join(base, 'first'), downloads: join(base, 'downloads') }
  manifest = await importModel(needs, { source })
})

/** A deep copy with one value changed, and its digest made right again: only the other laws can refuse it. */
function bent(path: readonly (string | number)[], value: unknown, keepDigest = false): unknown {
  const copy = JSON.parse(JSON.stringify(manifest)) as ModelManifest
  let at = copy as unknown as Record<string, unknown>
  for (const part of path.slice(0, -1)) at = at[part] as Record<string, unknown>
  at[path.at(-1)!] = value
  return keepDigest ? copy : { ...copy, digest: manifestDigest(copy) }
}

describe('checkManifest', () => {
  it('takes what an import made, and gives it back unchanged', () => {
    expect(checkManifest(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest)
  })

  it.each([
    ['not an object', () => null],
    ['an array', () => []],
    ['another schema', () => bent(['schema'], 'weft.manifest/2')],
    ['a name that is a path', () => bent(['model'], '../../evil')],
    ['a digest of something else', () => bent(['digest'], '0'.repeat(64), true)],
    ['an unknown key', () => bent(['code'], 'x')],
    ['a prototype', () => JSON.parse(JSON.stringify(manifest).replace('{', '{"__proto__":{"x":1},')) as unknown],
    ['a negative number of layers', () => bent(['shape', 'layers'], -1)],
    ['layers without blocks', () => bent(['shape', 'layers'], 3)],
    ['half a head', () => bent(['shape', 'heads'], 1.5)],
    ['keys that do not divide the heads', () => bent(['shape', 'kv_heads'], 3)],
    ['a context without end', () => bent(['shape', 'context'], 2 ** 24)],
    ['an infinite base', () => bent(['shape', 'rope_base'], 1e300)],
    ['a rotation over the head', () => bent(['shape', 'rope_dim'], 32)],
    ['an odd number of factors', () => bent(['shape', 'rope_factors'], [1, 2, 3])],
    ['a family that is a path', () => bent(['shape', 'family'], '../llama')],
    ['a feature that is not known', () => bent(['shape', 'experts'], 8)],
    ['a feature that is off, not absent', () => bent(['shape', 'qk_norm'], false)],
    ['norms of q and k without their tensors', () => bent(['shape', 'qk_norm'], true)],
    ['biases without their tensors', () => bent(['shape', 'biases'], ['attn_q'])],
    ['biases out of order', () => bent(['shape', 'biases'], ['attn_v', 'attn_q'])],
    ['a window for a layer that is not there', () => bent(['shape', 'window'], { size: 8, layers: [2] })],
    ['a window twice for one layer', () => bent(['shape', 'window'], { size: 8, layers: [1, 1] })],
    ['a window of nothing', () => bent(['shape', 'window'], { size: 0, layers: [0] })],
    ['layers without positions that fall', () => bent(['shape', 'unrotated_layers'], [1, 0])],
    ['a soft cap of zero', () => bent(['shape', 'logit_softcap'], 0)],
    ['a scale without end', () => bent(['shape', 'embedding_scale'], 1e30)],
    [
      'an offset of norms that have a mean',
      () => bent(['shape'], { ...manifest.shape, norm: 'layer', norm_offset: 1 }),
    ],
    ['a width that the tensors do not have', () => bent(['shape', 'width'], 128)],
    ['an unknown boundary', () => bent(['boundary'], 'f8')],
    ['a tokenizer of a terabyte', () => bent(['tokenizer', 'bytes'], 2 ** 40)],
    ['an address that is a path', () => bent(['tokenizer', 'address'], '../../../etc/passwd')],
    ['a block of another kind', () => bent(['blocks', 1, 'kind'], 'head')],
    ['a block less', () => bent(['blocks'], manifest.blocks.slice(0, -1))],
    ['a tensor of another name', () => bent(['blocks', 1, 'tensors', 0, 'name'], 'blk.1.attn_norm.weight')],
    ['a tensor of another shape', () => bent(['blocks', 1, 'tensors', 1, 'shape'], [64, 32])],
    ['a tensor of a type that does not exist', () => bent(['blocks', 1, 'tensors', 1, 'type'], 'Q9_9')],
    ['a tensor with too few bytes', () => bent(['blocks', 1, 'tensors', 1, 'bytes'], 100)],
    ['a tensor whose type has other bytes', () => bent(['blocks', 1, 'tensors', 1, 'type'], 'F32')],
    ['memory that is a lie', () => bent(['blocks', 1, 'memory'], 1)],
    ['work that is a lie', () => bent(['blocks', 1, 'flops'], 0)],
    ['a cache that is a lie', () => bent(['blocks', 1, 'kv_bytes'], 0)],
    [
      'a head with another embedding',
      () => bent(['blocks', 3, 'tensors', 1, 'address'], manifest.blocks[1]!.tensors[1]!.address),
    ],
    ['a licence that is a novel', () => bent(['license'], 'x'.repeat(501))],
  ])('refuses %s', (_, make) => {
    let error: unknown
    try {
      checkManifest(make())
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).code).toBe('WEFT-MOD-006')
    expect((error as WeftError).message.length).toBeLessThan(400)
  })

  it('refuses or takes anything with a code, never otherwise', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(...Object.keys(manifest)), (value, name) => {
        try {
          checkManifest({ ...manifest, [name]: value })
        } catch (error) {
          expect(error).toBeInstanceOf(WeftError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('the digest', () => {
  it('is that of what decides the numbers, not of names and places', () => {
    const other = { ...manifest, model: 'other', source: 'elsewhere', license: 'MIT' }
    expect(checkManifest(other).digest).toBe(manifest.digest)
    expect(manifestDigest({ ...manifest, boundary: 'f32' })).not.toBe(manifest.digest)
  })
})

describe('a manifest of before there were other architectures than Llama', () => {
  it('is the one that an import makes today', async () => {
    const store = await createBlobStore({ directory: join(base, 'bundled') })
    const needs = {
      store,
      clock: systemClock(),
      directory: join(base, 'bundled-partitions'),
      downloads: join(base, 'downloads'),
    }
    const source = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
    const { digest, shape } = await importModel(needs, { source })
    // Recorded with version 0.1, before shapes had optional fields.
    expect(digest).toBe('2d697c1b801b982eb5678bb2b753cb4bbcfc1952be44d882ba49cfc251e62ad2')
    expect(Object.keys(shape)).toHaveLength(14)
  })
})

describe('manifests on disk', () => {
  it('are loaded, and files that are none are named with their reason', async () => {
    const directory = join(base, 'second')
    expect(await loadManifests(directory)).toEqual({ manifests: [], refused: [] })
    await saveManifest(directory, manifest)
    await saveManifest(directory, manifest)
    writeFileSync(join(directory, 'broken.json'), '{"schema":')
    writeFileSync(join(directory, 'other.json'), JSON.stringify(manifest))
    writeFileSync(join(directory, 'notes.txt'), 'x')
    const { manifests, refused } = await loadManifests(directory)
    expect(manifests).toEqual([manifest])
    expect(refused.map(({ file }) => file)).toEqual(['broken.json', 'other.json'])
    expect(refused[0]!.why).toMatch(/not JSON/)
    expect(refused[1]!.why).toMatch(/it is that of tiny/)
    expect(await loadManifest(directory, 'absent')).toBeNull()
    await removeManifest(directory, manifest.model)
    await removeManifest(directory, manifest.model)
    expect(readdirSync(directory)).not.toContain('tiny.json')
  })

  it('that are damaged do not keep their name from the model', async () => {
    const directory = join(base, 'third')
    await saveManifest(directory, manifest)
    writeFileSync(join(directory, 'tiny.json'), 'damaged')
    await expect(loadManifest(directory, 'tiny')).rejects.toMatchObject({ code: 'WEFT-MOD-006' })
    await saveManifest(directory, manifest)
    expect(await loadManifest(directory, 'tiny')).toEqual(manifest)
  })
})

describe('a model name', () => {
  it.each(['a', 'smollm2:135m', 'weft-tiny', 'x.y_z-1:q4_1.2', '0'])('may be %s', (name) => {
    expect(isModelName(name)).toBe(true)
  })

  it.each(['', '.', '..', '-x', 'A', 'a/b', 'a\\b', 'a:', ':a', 'a:b:c', 'a b', 'a\n', 'ä', 'a'.repeat(129)])(
    'may not be %j',
    (name) => expect(isModelName(name)).toBe(false),
  )
})

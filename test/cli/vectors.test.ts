import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import { DTYPE, encodeControl, encodeFrame, frame } from '../../src/net/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { ownDefinition, spmDefinition } from '../models/support/tokenizers.ts'
import { call, json } from './support.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-vectors-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
let files = 0

interface Result extends Readonly<Record<string, unknown>> {
  readonly id: unknown
  readonly ok: boolean
  readonly error?: { readonly kind: string; readonly message: string }
}

function fileOf(content: unknown): string {
  const path = join(base, `${files++}.json`)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

async function results(suite: string, cases: readonly object[], home = join(base, 'none')): Promise<Result[]> {
  const numbered = cases.map((one, index) => ({ id: `${index}`, ...one }))
  const file = fileOf({ schema: 'weft.vectors/1', suite, cases: numbered })
  const { status, stdout, stderr } = await call(['vectors', suite, '--in', file, '--home', home])
  expect([status, stderr]).toEqual([0, ''])
  const document = json(stdout)
  expect(Object.keys(document)).toEqual(['schema', 'suite', 'results'])
  expect(document).toMatchObject({ schema: 'weft.vectors/1', suite })
  const list = document['results'] as Result[]
  expect(list.map(({ id }) => id)).toEqual(numbered.map(({ id }) => id))
  return list
}

const kinds = (list: readonly Result[]): unknown[] => list.map(({ ok, error }) => (ok ? 'ok' : error?.kind))

describe('weft vectors', () => {
  it.each([
    ['no file', undefined],
    ['a file that is not there', join(base, 'nowhere.json')],
    ['a folder', base],
    ['no JSON', '{'],
    ['no object', '[]'],
    ['another schema', { schema: 'weft.vectors/9', cases: [] }],
    ['another suite', { schema: 'weft.vectors/1', suite: 'frame', cases: [] }],
    ['no cases', { schema: 'weft.vectors/1', suite: 'weights' }],
    ['a case that is no object', { schema: 'weft.vectors/1', cases: [3] }],
    ['a case without id', { schema: 'weft.vectors/1', cases: [{}] }],
  ])('given %s exits 2 with one coded error', async (_what, content) => {
    const isPath = typeof content === 'string' && content.startsWith('/')
    const path = content === undefined ? undefined : isPath ? content : fileOf(content)
    const { status, stdout } = await call([
      'vectors',
      'weights',
      ...(path === undefined ? [] : ['--in', path]),
      '--json',
    ])
    expect(status).toBe(2)
    expect(json(stdout)).toMatchObject({ schema: 'weft.error/1', error: { code: 'WEFT-CLI-003' } })
  })

  it('names its suites where another one is asked for', async () => {
    const { status, stderr } = await call(['vectors', 'nothing', '--in', fileOf('{}')])
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/it has aggregate, clip, .*frame, .*secagg, .*tokenizer, weights/),
    ])
  })

  it('gives an empty list for no cases', async () => {
    expect(await results('weights', [])).toEqual([])
  })
})

describe('weights', () => {
  it('shows a block of Q4_1 as it is made: w = d q + m', async () => {
    // d = 0.5 (0x3800), m = -1 (0xbc00); byte j is 16 (15 - j) + j, so q = 0..15 and then 15..0.
    const bytes = `003800bc${Array.from({ length: 16 }, (_, j) => (15 - j).toString(16) + j.toString(16)).join('')}`
    const [result] = await results('weights', [{ type: 'Q4_1', bytes, rows: 1, columns: 32 }])
    const quants = [...Array.from({ length: 16 }, (_, j) => j), ...Array.from({ length: 16 }, (_, j) => 15 - j)]
    expect(result).toEqual({
      id: '0',
      ok: true,
      type: 'Q4_1',
      values: quants.map((q) => 0.5 * q - 1),
      bits: 4,
      block: 32,
      zero: 8,
      quants,
      scales: [0.5],
      // w = d (q - 8) + (m + 8 d)
      offsets: [3],
    })
  })

  it('shows floats without integers, and what JSON cannot say as strings', async () => {
    const list = await results('weights', [
      { type: 'F32', bytes: '0000803f0000807f000080ff0000c07f', rows: 2, columns: 2 },
      { type: 'F16', bytes: '003c0001', rows: 1, columns: 2 },
      { type: 'BF16', bytes: '803f', rows: 1, columns: 1 },
    ])
    expect(list.map(({ values }) => values)).toEqual([[1, 'Infinity', '-Infinity', 'NaN'], [1, 256 * 2 ** -24], [1]])
    expect(list[0]).not.toHaveProperty('quants')
  })

  it('refuses what does not fit together', async () => {
    const list = await results('weights', [
      { type: 'Q9', bytes: '', rows: 1, columns: 32 },
      { type: 'Q8_0', bytes: '00', rows: 1, columns: 32 },
      { type: 'Q8_0', bytes: '00', rows: 1, columns: 33 },
      { type: 'F32', bytes: 'ABCDEF00', rows: 1, columns: 1 },
      { type: 'F32', bytes: '', rows: 0, columns: 1 },
      { type: 'F32', bytes: '', rows: 1e6, columns: 1e6 },
      { type: 'F32', bytes: '', rows: '1', columns: 1 },
      { type: 'F16', bytes: '003c', rows: 1, columns: 1 },
    ])
    const wanted = ['unknown-type', 'length', 'length', 'malformed', 'range', 'range', 'malformed', 'ok']
    expect(kinds(list)).toEqual(wanted)
  })
})

describe('frame', () => {
  const fields = {
    type: 4,
    dtype: 'f16',
    dims: [2, 3],
    request: 2 ** 53 - 1,
    epoch: 7,
    attempt: 2,
    flags: 1,
    step: 9,
    position: 40,
    hop: 1,
    rows: 5,
    waited: 12,
    micros: 1234,
    digest: '11'.repeat(32),
    payload: '000102030405060708090a0b',
    control: { a: [1, 'x', null, true], b: 0.5 },
  }

  it('gives the bytes that peers send, and the fields of those bytes again', async () => {
    const control = encodeControl(fields.control)
    const payload = Uint8Array.from(Buffer.from(fields.payload, 'hex'))
    const { type, dims, request, epoch, attempt, flags, step, position, hop, rows, micros, waited } = fields
    const numbers = { type, dims, request, epoch, attempt, flags, step, position, hop, rows, micros, waited }
    const digest = Uint8Array.from(Buffer.from(fields.digest, 'hex'))
    const parts = encodeFrame(frame({ ...numbers, dtype: DTYPE.f16, digest, payload, control }))
    const bytes = Buffer.concat(parts).toString('hex')
    const [encoded, decoded] = await results('frame', [
      { op: 'encode', frame: fields },
      { op: 'decode', bytes },
    ])
    const shown = { ...fields, control: Buffer.from(control).toString('hex'), control_value: fields.control }
    const header = Buffer.from(bytes, 'hex').subarray(0, 128)
    const more = {
      header: header.toString('hex'),
      body_checksum: header.readUInt32LE(56),
      header_checksum: header.readUInt32LE(60),
      frame: shown,
    }
    expect(encoded).toEqual({ id: '0', ok: true, bytes, ...more })
    expect(decoded).toEqual({ id: '1', ok: true, ...more })
  })

  it('has the name of a boundary where there is one, and no field where there is none', async () => {
    const stated = '5a'.repeat(16)
    const [one] = await results('frame', [{ op: 'encode', frame: { ...fields, stated } }])
    expect(one).toMatchObject({ ok: true, frame: { stated } })
    const [again] = await results('frame', [{ op: 'decode', bytes: one!['bytes'] }])
    expect(again!['frame']).toEqual(one!['frame'])
    expect(kinds(await results('frame', [{ op: 'encode', frame: { ...fields, stated: '5a' } }]))).toEqual(['length'])
  })

  it('reads several frames, and refuses damage wherever it is', async () => {
    const [{ bytes }] = (await results('frame', [{ op: 'encode', frame: fields }])) as unknown as [{ bytes: string }]
    const two = await results('frame', [{ op: 'decode', bytes: bytes + bytes }])
    expect(two[0]!['frames']).toHaveLength(2)
    const flip = (at: number): string => {
      const copy = Buffer.from(bytes, 'hex')
      copy[at] = copy[at]! ^ 1
      return copy.toString('hex')
    }
    const places = fc.sample(fc.nat({ max: bytes.length / 2 - 1 }), { numRuns: 40, seed: 3 })
    const damaged = await results(
      'frame',
      places.map((at) => ({ op: 'decode', bytes: flip(at) })),
    )
    expect(damaged.filter(({ ok }) => ok)).toEqual([])
    expect(kinds(await results('frame', [{ op: 'decode', bytes: bytes + flip(130) }]))).toEqual(['checksum'])
    const cut = [0, 2, 200, bytes.length - 2].map((length) => ({ op: 'decode', bytes: bytes.slice(0, length) }))
    expect(kinds(await results('frame', cut))).toEqual(['length', 'length', 'length', 'length'])
  })

  it('refuses fields that make no frame', async () => {
    const list = await results('frame', [
      { op: 'decode', bytes: '00'.repeat(128) },
      { op: 'encode', frame: { type: 256 } },
      { op: 'encode', frame: { type: 1, dtype: 'f64' } },
      { op: 'encode', frame: { type: 1, dtype: 'f32', dims: [2], payload: '00' } },
      { op: 'encode', frame: { type: 1, dtype: 'f32', dims: [1, 1, 1, 1, 1] } },
      { op: 'encode', frame: { type: 1, request: 2 ** 53 } },
      { op: 'encode', frame: { type: 1, digest: '00' } },
      { op: 'encode', frame: { type: 1, control: JSON.parse('['.repeat(80) + ']'.repeat(80)) as unknown } },
      { op: 'encode', frame: [] },
      { op: 'encode' },
      { op: 'turn' },
      { op: 'encode', frame: { type: 1 } },
    ])
    const wanted = ['magic', 'range', 'dtype', 'shape', 'rank', 'malformed', 'length', 'control']
    expect(kinds(list)).toEqual([...wanted, 'malformed', 'malformed', 'malformed', 'ok'])
  })
})

describe('tokenizer', () => {
  it('shows ids, pieces, bytes and text by a definition', async () => {
    const definition = spmDefinition([
      ['\u2581', -3],
      ['a', -2],
      ['\u2581a', -1],
    ])
    const list = await results('tokenizer', [
      { definition, text: 'a a' },
      { definition, ids: [1, 261, 261, 2] },
      { definition, ids: [1, 261, 2], special: true },
      { definition, text: 'a</s>', special: true, add_bos: false },
      { definition: ownDefinition(), text: 'a<|im_end|>' },
      { definition: ownDefinition(), messages: [{ role: 'user', content: 'a' }] },
    ])
    expect(list[0]).toEqual({
      id: '0',
      ok: true,
      ids: [1, 261, 261],
      pieces: ['<s>', '\u2581a', '\u2581a'],
      bytes: ['3c733e', '2061', '2061'],
      text: 'a a',
    })
    expect(list.slice(1, 3).map(({ text }) => text)).toEqual(['a a', '<s> a</s>'])
    expect(list[3]).toMatchObject({ ids: [261, 2] })
    expect(list[4]!.ok).toBe(true)
    expect(list[4]!['ids']).not.toContain(2)
    expect(list[5]!['rendered']).toMatch(/user/)
  })

  it('takes a model of the home, and reads it once', async () => {
    const home = join(base, 'home')
    const store = await createBlobStore({ directory: join(home, 'store') })
    const source = join(base, 'tiny.gguf')
    writeFileSync(source, writeGguf(tinyLlama()))
    const needs = {
      store,
      clock: systemClock(),
      directory: join(home, 'partitions'),
      downloads: join(home, 'downloads'),
    }
    await importModel(needs, { source, name: 'tiny' })
    const list = await results(
      'tokenizer',
      [
        { model: 'tiny', text: 'ab' },
        { model: 'tiny', ids: [260] },
        { model: 'big', text: '' },
      ],
      home,
    )
    expect(kinds(list)).toEqual(['ok', 'ok', 'unknown-model'])
    expect(list[0]!['text']).toBe('ab')
  })

  it('refuses what cannot be', async () => {
    const definition = ownDefinition()
    const list = await results('tokenizer', [
      { definition },
      { definition, text: 'a', ids: [1] },
      { text: 'a' },
      { definition, ids: [900] },
      { definition, ids: [0.5] },
      { definition, text: 1 },
      { definition, messages: [{ role: 'user' }] },
      { definition: { ...definition, merges: undefined }, text: 'a' },
      { definition: { ...definition, kind: 'wordpiece' }, text: 'a' },
      { definition: { ...definition, pre: 'llama-9' }, text: 'a' },
      { definition: 'x', text: 'a' },
      { definition, text: 'a' },
    ])
    const wanted = ['malformed', 'malformed', 'malformed', 'range', 'malformed', 'malformed', 'malformed']
    expect(kinds(list)).toEqual([...wanted, 'definition', 'definition', 'definition', 'definition', 'ok'])
  })
})

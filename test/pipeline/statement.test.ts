import { describe, expect, it } from 'vitest'
import { DTYPE, encodeControl, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { firstFar, TOLERANCE } from '../../src/pipeline/origin/tolerance.ts'
import { chained, CHAIN_START, HASH_BYTES, isSigned, rowHashes, sha256 } from '../../src/pipeline/ring/statement.ts'
import type { Statement } from '../../src/pipeline/ring/statement.ts'
import { NOT_FINITE, sealed, UNSIGNED, Witness } from '../../src/pipeline/ring/witness.ts'
import { newIdentity } from '../../src/trust/index.ts'
import type { Identity } from '../../src/trust/index.ts'
import { floatsToHalves } from '../../src/models/index.ts'

const ORIGIN = 'the-origin'
const WIDTH = 8

function witness(identity: Identity, from: number, to: number): Witness {
  return new Witness({ origin: ORIGIN, model: 'm', from, to, kernel: 'k/1', sign: (bytes) => identity.sign(bytes) })
}

function values(rows: number, seed: number): Uint8Array {
  const floats = Float32Array.from({ length: rows * WIDTH }, (_, index) => Math.sin(seed + index))
  return new Uint8Array(floatsToHalves(floats).buffer)
}

function ids(count: number): Frame {
  const payload = new Uint8Array(Int32Array.from({ length: count }, (_, index) => index).buffer)
  return frame({ type: 35, dtype: DTYPE.i32, dims: [count], payload })
}

function rowsFrame(payload: Uint8Array, position: number, control: Uint8Array): Frame {
  const count = payload.length / WIDTH / 2
  return frame({ type: 35, dtype: DTYPE.f16, dims: [count, WIDTH], position, payload, control })
}

describe('what a stage signs', () => {
  const identity = newIdentity()
  const sender = { peer: identity.id, from: 0, to: 1 }

  it('stands for these rows, of this input, and for nothing else', () => {
    const [input, other] = [sha256(Uint8Array.of(1)), sha256(Uint8Array.of(2))]
    const giver = witness(identity, 0, 1)
    giver.take(ids(5), undefined)
    giver.give(0, values(5, 1), 5)
    const seal = giver.seal(7, 1, 3, 2)
    const output = sha256(rowHashes(values(5, 1), 5).subarray(3 * HASH_BYTES))
    const rows = { position: 3, count: 2, input: seal.input, output, kernel: 'k/1' }
    const said: Statement = { origin: ORIGIN, session: 7, attempt: 1, model: 'm', from: 0, to: 1, ...rows }
    expect(isSigned(identity.id, said, seal.signature)).toBe(true)
    const changed: Partial<Statement> = { origin: 'x', session: 8, attempt: 0, model: 'n', from: 1, to: 2, position: 2 }
    const more: Partial<Statement> = { count: 1, input, output: other, kernel: 'k/2' }
    for (const [field, value] of Object.entries({ ...changed, ...more }))
      expect(isSigned(identity.id, { ...said, [field]: value }, seal.signature)).toBe(false)
    expect(isSigned(newIdentity().id, said, seal.signature)).toBe(false)
  })

  it('its input is the same however the rows came', () => {
    const all = rowHashes(values(9, 3), 9)
    const whole = chained(CHAIN_START, all)
    const first = chained(CHAIN_START, all.subarray(0, 4 * HASH_BYTES))
    const rest = chained(first.slice(-HASH_BYTES), all.subarray(4 * HASH_BYTES))
    expect(Buffer.concat([first, rest])).toEqual(Buffer.from(whole))
  })

  it('is asked for of every row: none, another one, a changed one and another session are refused', () => {
    const giver = witness(identity, 0, 1)
    giver.take(ids(4), undefined)
    giver.give(0, values(4, 1), 4)
    const seal = giver.seal(7, 0, 0, 4)
    const taker = (): Witness => witness(newIdentity(), 1, 2)
    const rows = values(4, 1)
    const take = (payload: Uint8Array, control: Uint8Array, position = 0): string | undefined =>
      taker().take(rowsFrame(payload, position, control), sender)
    expect(take(rows, sealed(seal))).toBeUndefined()
    expect(take(rows, new Uint8Array(0))).toBe(UNSIGNED)
    expect(take(rows, Uint8Array.of(0xc1, 0xff))).toBe(UNSIGNED)
    expect(take(rows, encodeControl({ ...seal, signature: new Uint8Array(63) }))).toBe(UNSIGNED)
    expect(take(rows, encodeControl({ ...seal, session: 8 }))).toBe(UNSIGNED)
    expect(take(rows, sealed(seal), 1)).toBe(UNSIGNED)
    expect(take(values(4, 2), sealed(seal))).toBe(UNSIGNED)
    const changed = rows.slice()
    changed[11]! ^= 1
    expect(take(changed, sealed(seal))).toBe(UNSIGNED)
    const [receipt, hashes] = [taker(), rowHashes(rows, 4)]
    receipt.take(rowsFrame(rows, 0, sealed(seal)), sender)
    expect(receipt.receipt(3)).toMatchObject({ ...sender, position: 0, count: 4, session: 7 })
    expect(receipt.receipt(4)).toBeUndefined()
    expect(receipt.taken(1, 3)).toEqual(hashes.slice(HASH_BYTES))
    expect(receipt.taken(1, 4)).toBeUndefined()
  })

  it('rows with an infinity are refused, whoever has signed them', () => {
    for (const bits of [0x7c00, 0xfc00, 0x7e01]) {
      const payload = values(1, 1)
      new DataView(payload.buffer).setUint16(6, bits, true)
      const giver = witness(identity, 0, 1)
      giver.take(ids(1), undefined)
      giver.give(0, payload, 1)
      const message = rowsFrame(payload, 0, sealed(giver.seal(7, 0, 0, 1)))
      expect(witness(newIdentity(), 1, 2).take(message, sender)).toBe(NOT_FINITE)
    }
  })
})

describe('rows of other kernels', () => {
  const rows = Float32Array.from({ length: 3 * WIDTH }, (_, index) => Math.sin(index))
  const f32 = (values: Float32Array): Uint8Array => new Uint8Array(values.slice().buffer)
  const shifted = (share: number): Uint8Array =>
    f32(rows.map((value, index) => (index >= 2 * WIDTH ? value * (1 + share) : value)))

  it('are near up to the stated distance, and far beyond it; what is no number is far', () => {
    expect(firstFar(f32(rows), f32(rows), DTYPE.f32, 3)).toBeUndefined()
    expect(firstFar(shifted(TOLERANCE * 0.9), f32(rows), DTYPE.f32, 3)).toBeUndefined()
    expect(firstFar(shifted(TOLERANCE * 1.1), f32(rows), DTYPE.f32, 3)).toBe(2)
    expect(firstFar(f32(rows.map(() => 0)), f32(rows), DTYPE.f32, 3)).toBe(0)
    expect(firstFar(shifted(NaN), f32(rows), DTYPE.f32, 3)).toBe(2)
    expect(firstFar(f32(rows).subarray(4), f32(rows), DTYPE.f32, 3)).toBe(0)
    expect(firstFar(values(2, 1), values(2, 1), DTYPE.f16, 2)).toBeUndefined()
    expect(firstFar(values(2, 1), values(2, 9), DTYPE.f16, 2)).toBe(0)
  })
})

/** Ids of texts longer than a control map has room for one by one. */
import { expect, it } from 'vitest'
import { decodeControl, encodeControl } from '../../src/net/index.ts'
import { packIds, tokenIdsSchema, unpackIds } from '../../src/pipeline/host/token-ids.ts'

it('sixty thousand ids go through a control map, from any offset in its bytes', () => {
  const ids = Array.from({ length: 60_000 }, (_, index) => (index * 7_919) % 152_000)
  for (const name of ['a', 'ab', 'abc', 'abcd']) {
    const map = decodeControl(encodeControl({ [name]: packIds(ids) })) as Record<string, unknown>
    expect(unpackIds(tokenIdsSchema.parse(map[name]))).toEqual(ids)
  }
})

it('ids one by one, as older peers send them, are read too; what is neither is refused', () => {
  expect(unpackIds(tokenIdsSchema.parse([1, 2, 3]))).toEqual([1, 2, 3])
  for (const odd of [new Uint8Array(3), [-1], ['1'], 'ids', null, new Uint8Array(4 * ((1 << 16) + 1))])
    expect(tokenIdsSchema.safeParse(odd).success).toBe(false)
})

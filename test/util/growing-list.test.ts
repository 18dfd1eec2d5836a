import { expect, it } from 'vitest'
import { GrowingList } from '../../src/util/index.ts'

it.each([Float32Array, Uint32Array])('keeps all numbers in their order while it grows (%o)', (type) => {
  const list = new GrowingList(type as typeof Float32Array)
  expect(list.all()).toHaveLength(0)
  for (let value = 0; value < 5_000; value++) list.add(value)
  expect(Array.from(list.all())).toEqual(Array.from({ length: 5_000 }, (_, value) => value))
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { createBlobStore } from '../../src/store/index.ts'

const directory = mkdtempSync(join(tmpdir(), 'weft-before-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

it('a blob is announced before it appears, once, and not when it is there', async () => {
  const store = await createBlobStore({ directory })
  const bytes = new Uint8Array(3_000_000).fill(7)
  const announced: string[] = []
  const there: Promise<boolean>[] = []
  const before = (address: string): void => {
    announced.push(address)
    there.push(store.has(address))
  }
  const { address } = await store.put(bytes, before)
  expect(announced).toEqual([address])
  expect(await there[0]).toBe(false)
  expect(await store.has(address)).toBe(true)
  await store.put(bytes, before)
  expect(announced).toHaveLength(1)
  await store.remove(address)
  await store.put(bytes, before)
  expect(announced).toEqual([address, address])
})

it('a blob that cannot be announced does not appear', async () => {
  const store = await createBlobStore({ directory })
  const refuse = (): void => {
    throw new Error('nobody listens')
  }
  await expect(store.put(Uint8Array.of(1, 2, 3), refuse)).rejects.toThrow('nobody listens')
  const { address } = await store.put(Uint8Array.of(1, 2, 3))
  expect(await store.has(address)).toBe(true)
})

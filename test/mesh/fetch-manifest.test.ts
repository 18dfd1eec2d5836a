/** Somebody waits for a manifest while its holders are cut off without a sign. */
import { expect, test } from 'vitest'
import { FetchFailedError } from '../../src/mesh/errors.ts'
import { createFetcher } from '../../src/mesh/fetcher.ts'
import { BLOB_PROTOCOLS } from '../../src/mesh/blob-wire.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { quietLogger } from '../net/helpers.ts'
import { createMemoryHub } from './memory-network.ts'
import { settle, virtualClock } from './support/virtual-clock.ts'

test('its holders are watched meanwhile, and who has gone is neither waited for nor dialled', async () => {
  const clock = virtualClock()
  const hub = createMemoryHub({ clock })
  const network = hub.network('a')
  const asked: string[] = []
  for (const id of ['b', 'c', 'd']) {
    const node = hub.network(id)
    for (const [, protocol] of BLOB_PROTOCOLS) node.handle(protocol, 'fetch', () => void asked.push(id))
  }
  for (const id of ['b', 'c']) hub.connect('a', id)
  const watched: string[] = []
  const watch = (peer: string): (() => void) => {
    watched.push(peer)
    return () => void watched.splice(watched.indexOf(peer), 1)
  }
  const needs = { clock, random: systemRandom(), store: {} as BlobStore, logger: quietLogger() }
  const fetcher = createFetcher({
    ...needs,
    network: { ...network, watch },
    telemetry: { count: () => undefined },
    lied: () => undefined,
  })
  const found = fetcher.manifest('0'.repeat(64), ['b', 'c']).catch((error: unknown) => error)
  await settle()
  expect(watched.toSorted()).toEqual(['b', 'c'])
  expect(asked).toHaveLength(1)
  for (const id of ['b', 'c']) hub.disconnect('a', id)
  expect(await found).toBeInstanceOf(FetchFailedError)
  expect(asked).toHaveLength(1)
  expect(watched).toEqual([])
})

/** The site is asked about training over peers as about sessions: at who computes, and at whose data it is. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Network } from '../../src/net/index.ts'
import { TRAIN } from '../../src/pipeline/adapters/protocol.ts'
import { TrainService } from '../../src/pipeline/adapters/service.ts'
import type { TrainHosts } from '../../src/pipeline/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { PolicyRefusedError } from '../../src/trust/index.ts'
import { joined, networkPool, until } from '../net/helpers.ts'

const pool = networkPool()
const DIGEST = 'ab'.repeat(32)

let [origin, stage]: Network[] = []
let services: TrainService[]
/** Models that the stage was asked to load. */
const lent: string[] = []
const allowed = { compute: false, route: true }

function refuseUnless(what: 'compute' | 'route', peer: string): void {
  const decision = { allow: false, rule: 'default', why: 'no rule' }
  if (!allowed[what]) throw new PolicyRefusedError({ action: what, peer }, decision)
}

beforeAll(async () => {
  origin = await pool.add({})
  stage = await pool.add({ bootstrap: [origin.addresses()[0]!] })
  const hosts = {
    lend: (digest: string) => {
      lent.push(digest)
      return Promise.reject(new Error('no host here'))
    },
  } as unknown as TrainHosts
  services = [origin, stage].map(
    (network) =>
      new TrainService({
        self: network.id,
        network,
        clock: systemClock(),
        hosts,
        count: () => undefined,
        admit: (peer) => refuseUnless('compute', peer),
        again: (peer) => refuseUnless('compute', peer),
        permit: (peer) => refuseUnless('route', peer),
      }),
  )
  await joined(origin, stage)
})
afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()))
  await pool.stopAll()
})

async function open(request: number): Promise<string> {
  const [service] = services as [TrainService]
  const failures: Error[] = []
  const nothing = (): void => undefined
  const heard = { opened: nothing, rows: nothing, returned: nothing, gradients: nothing }
  const route = [stage!.id]
  const off = service.listen(
    request,
    { digest: DIGEST, route },
    { ...heard, failed: (_peer, error) => void failures.push(error) },
  )
  const form = { parts: ['q'], rank: 4, scale: 1 }
  const control = { digest: DIGEST, route, from: 1, to: 2, length: 16, form }
  try {
    await service.send(stage!.id, { type: TRAIN.open, request, hop: 0, step: 0, control }, new Map())
    await until(() => failures.length > 0)
    return `${(failures[0] as { code?: string }).code} ${failures[0]!.message}`
  } catch (error) {
    return (error as { code: string }).code
  } finally {
    off()
  }
}

test('who may not compute here does not train here, and nobody trains over whom its site does not let it', async () => {
  expect(await open(1)).toMatch(/^WEFT-TRU-072 .*compute/)
  expect(lent).toEqual([])
  allowed.compute = true
  expect(await open(2)).toMatch(/no host here/)
  expect(lent).toEqual([DIGEST])
  allowed.route = false
  expect(await open(3)).toBe('WEFT-TRU-072')
  expect(lent).toHaveLength(1)
})

test('a run over a peer that it may not go over any more hears of it as of a loss', () => {
  const [service] = services as [TrainService]
  const lost: string[] = []
  const nothing = (): void => undefined
  const heard = { opened: nothing, rows: nothing, returned: nothing, gradients: nothing }
  const off = service.listen(
    9,
    { digest: DIGEST, route: [origin!.id, stage!.id] },
    { ...heard, failed: (peer) => void lost.push(peer) },
  )
  allowed.route = true
  service.review()
  expect(lost).toEqual([])
  allowed.route = false
  service.review()
  expect(lost).toEqual([stage!.id])
  off()
})

/** What a relay that is hostile itself can do: bring in whom it likes, and read what it carries. */
import { afterEach, describe, expect, test } from 'vitest'
import { DTYPE, frame } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { found } from '../integration/canaries.ts'
import { connectedIds, joined, until } from '../net/helpers.ts'
import { hostileRelay, throughRelay } from './support/hostile-relay.ts'
import { ECHO, members, run } from './support/members.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const PROMPT = 'Mrs Quillhaven of Ostrava came with a marbled newt.'
const CLUSTER = 'heronfield-trust'

async function site() {
  const { cluster, founder, others, copy } = members(3, CLUSTER)
  const relay = await hostileRelay(others[0]!, cluster)
  cleanups.push(() => relay.stop())
  const [a, m] = [
    await run(cluster, founder, { listen: null, bootstrap: [relay.address], name: 'velvet-cormorant' }),
    await run(copy(1), others[1]!, { listen: null, bootstrap: [relay.address], name: 'amber-wheatear' }),
  ]
  for (const one of [a, m]) {
    cleanups.push(() => one.stop())
    await until(() => connectedIds(one.network).includes(others[0]!.id))
  }
  return { cluster, others, relay, a, m }
}

describe('a relay that is a member gone bad', () => {
  test('brings in neither a stranger nor whoever was removed, by their own name or by that of a member', async () => {
    const { cluster, others, relay, a, m } = await site()
    const [, , gone] = others
    const bring = (as: Parameters<typeof relay.bring>[0], claimed: string) =>
      relay.bring(as, claimed, a.identity.id, ECHO)
    // the control, before it is removed: one that is a member is brought in and served, in its own name
    const member = await bring(gone!, gone!.id)
    expect(member).toMatchObject({ answer: { ok: true }, verdict: { verdict: 'welcome' }, served: true })
    cluster.revoke(gone!.id, 'lost')
    const stranger = newIdentity()
    const tries = {
      stranger: await bring(stranger, stranger.id),
      'stranger as a member': await bring(stranger, m.identity.id),
      removed: await bring(gone!, gone!.id),
      'removed as a member': await bring(gone!, m.identity.id),
    }
    for (const [who, { served, verdict }] of Object.entries(tries))
      expect({ who, served, in: verdict?.verdict === 'welcome' }).toEqual({ who, served: false, in: false })
    expect(connectedIds(a.network)).not.toContain(stranger.id)
    expect(connectedIds(a.network)).not.toContain(gone!.id)
    expect(a.counted['members_refused']).toBeGreaterThanOrEqual(1)
  })

  test('reads nothing of what it carries between members, and they are served through it', async () => {
    const { cluster, relay, a, m } = await site()
    m.network.keep(throughRelay(relay, a.identity.id))
    await joined(m.network, a.network)
    const channel = await m.network.open(a.identity.id, ECHO)
    const answered = new Promise((resolve) => channel.onFrame(resolve))
    const payload = Buffer.from(PROMPT.repeat(20))
    await channel.send(frame({ type: 1, dtype: DTYPE.bytes, dims: [payload.length], payload }))
    expect(await answered).toMatchObject({ flags: 7 })
    const secret = {
      prompt: PROMPT,
      cluster: CLUSTER,
      'the id of the cluster': Buffer.from(cluster.id, 'hex'),
      'the key of the door': cluster.doorKey,
      'a name': 'velvet-cormorant',
      'another name': 'amber-wheatear',
      'the end of the log': Buffer.from(cluster.head.hash, 'hex'),
    }
    const carried = Buffer.concat(relay.carried)
    expect(carried.length).toBeGreaterThan(2 * payload.length)
    expect(found([carried], secret)).toEqual([])
    // the control: what it is told as a member itself is found by the same search
    expect(found([Buffer.concat(relay.told)], secret).map((one) => one.split(':')[0])).toEqual(
      expect.arrayContaining(['a name', 'another name']),
    )
  })
})

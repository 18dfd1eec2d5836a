/** E6: a member that was removed comes back: by its old session, dialling, dialled elsewhere, through one that has not heard. */
import { keyedCodec } from '../../src/net/announcement.ts'
import { frame } from '../../src/net/index.ts'
import type { Channel, Network } from '../../src/net/index.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { newIdentity } from '../../src/trust/index.ts'
import type { Cluster } from '../../src/trust/index.ts'
import { connectedIds, joined, network, openMembership, until } from '../net/helpers.ts'
import { ECHO, members, run } from '../mesh/support/members.ts'
import { random } from '../trust/support/cluster.ts'
import { least, most } from './attack.ts'
import type { Attack } from './attack.ts'

interface Stage {
  /** Who removes, one that is not told, and who is removed. */
  readonly here: Network
  readonly relay: Network
  readonly gone: Network
  remove(): void
  /** A copy of the one that was removed, at a new address. */
  again(): Promise<Network>
  /** What is announced nearby by the one here, and read by the one that was removed. */
  announces(): boolean
  stop(): Promise<void>
}

/** As it was before there were memberships: one key, which is taken from nobody. */
async function keyed(): Promise<Stage> {
  const networkKey = random.bytes(32)
  const echo = async (init: Parameters<typeof network>[0] = {}): Promise<Network> => {
    const one = await network({ networkKey, membership: openMembership, ...init })
    one.handle(ECHO, 'compute', (channel) => channel.onFrame((got) => channel.send(got)))
    return one
  }
  const identity = newIdentity()
  const all = [await echo({ listen: null }), await echo(), await echo({ listen: null, identity })] as const
  const codec = keyedCodec(random, networkSecrets('', networkKey).announce!)
  const later: Network[] = []
  return {
    here: all[0],
    relay: all[1],
    gone: all[2],
    remove: () => undefined,
    async again() {
      const one = await echo({ identity })
      later.push(one)
      return one
    },
    announces: () => codec.decode(codec.encode(announcement(all[0].id))) !== undefined,
    stop: async () => void (await Promise.all([...all, ...later].map((one) => one.stop()))),
  }
}

async function clustered(): Promise<Stage> {
  const { cluster, founder, others, copy } = members(2)
  const [ofRelay, ofGone] = [copy(0), copy(1)]
  const made = [
    await run(cluster, founder, { listen: null }),
    await run(ofRelay, others[0]!),
    await run(ofGone, others[1]!, { listen: null }),
  ] as const
  // they would rather not know: the relay has not heard, and the one that was removed goes on with its old log
  for (const one of [ofRelay, ofGone]) Object.assign(one, { merge: () => ({ added: [], fork: undefined }) })
  const codecOf = (one: Cluster) => keyedCodec(random, networkSecrets('', one.doorKey, one).announce!)
  const stops = made.map((one) => () => one.stop())
  return {
    here: made[0].network,
    relay: made[1].network,
    gone: made[2].network,
    remove: () => void cluster.revoke(others[1]!.id, 'lost'),
    async again() {
      const one = await run(ofGone, others[1]!)
      stops.push(() => one.stop())
      return one.network
    },
    announces: () => codecOf(ofGone).decode(codecOf(cluster).encode(announcement(cluster.self))) !== undefined,
    stop: async () => void (await Promise.all(stops.map((stop) => stop()))),
  }
}

const announcement = (peer: string) => ({
  network: '',
  peer,
  instance: '0'.repeat(32),
  addresses: ['/ip4/192.0.2.7/tcp/1'],
})

async function answers(channel: Channel): Promise<boolean> {
  const answered = new Promise<boolean>((resolve) => channel.onFrame(() => resolve(true)))
  const ended = channel.closed.then(() => false)
  await channel.send(frame({ type: 1 })).catch(() => undefined)
  return Promise.race([answered, ended])
}

interface Served {
  readonly session: number
  readonly relayed: number
  readonly dialled: number
  readonly announced: number
}

async function attempt(make: () => Promise<Stage>): Promise<Served> {
  const stage = await make()
  const { here, relay, gone } = stage
  try {
    for (const one of [here, gone]) {
      one.keep(relay.addresses()[0]!)
      await joined(one, relay)
    }
    const session = await gone.open(here.id, ECHO)
    await answers(session)
    const isCut = make === clustered
    stage.remove()
    if (isCut) await until(() => !connectedIds(here).includes(gone.id))
    const kept = await answers(session)
    // through the one that has not heard, which goes on serving it
    const relayed = await gone.open(here.id, ECHO).then(answers, () => false)
    await gone.stop()
    const again = await stage.again()
    here.keep(again.addresses()[0]!)
    again.keep(relay.addresses()[0]!)
    await until(() => connectedIds(again).includes(here.id) || here.refusals().some(({ id }) => id === again.id))
    const dialled = await again.open(here.id, ECHO).then(answers, () => false)
    return {
      session: Number(kept),
      relayed: Number(relayed),
      dialled: Number(dialled),
      announced: Number(stage.announces()),
    }
  } finally {
    await stage.stop()
  }
}

export const removed: Attack = {
  id: 'E6',
  name: 'a member that was removed',
  async control() {
    const { session, relayed, dialled, announced } = await attempt(keyed)
    return [
      least('served on its old session, with a key alone', session, 1),
      least('served through a peer that has not heard', relayed, 1),
      least('served at a new address', dialled, 1),
      least('reads what is announced afterwards', announced, 1),
    ]
  },
  async defended() {
    const { session, relayed, dialled, announced } = await attempt(clustered)
    return [
      most('served on its old session', session, 0),
      most('served through a peer that has not heard', relayed, 0),
      most('served at a new address', dialled, 0),
      most('reads what is announced afterwards', announced, 0),
    ]
  },
}

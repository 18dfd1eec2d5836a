/** Real networks for tests: TCP on the loopback, identities of their own, no discovery unless it is asked for. */
import { createNetwork } from '../../src/net/index.ts'
import type { Membership, Network, NetworkEvents, NetworkInit, NetworkNeeds } from '../../src/net/index.ts'
import { createLogger } from '../../src/telemetry/index.ts'
import type { Logger } from '../../src/telemetry/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import type { Identity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'

export const openMembership: Membership = { epoch: 0, admits: () => true, isRemoved: () => false }

export function quietLogger(): Logger {
  return createLogger({ name: 'test', level: process.env['WEFT_TEST_LOG'] === undefined ? 'silent' : 'debug' })
}

export type TestInit = Partial<NetworkInit> & {
  readonly identity?: Identity
  readonly events?: NetworkEvents
  readonly clock?: Clock
  readonly telemetry?: NetworkNeeds['telemetry']
}

export async function network({ identity, events, clock, telemetry, ...init }: TestInit = {}): Promise<Network> {
  const made = await createNetwork(
    {
      clock: clock ?? systemClock(),
      random: systemRandom(),
      identity: identity ?? newIdentity(),
      logger: quietLogger(),
      ...(telemetry === undefined ? {} : { telemetry }),
    },
    {
      networkName: 'test',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      lan: 'open',
      discovery: false,
      rendezvous: false,
      membership: openMembership,
      name: 'tester',
      version: '0.0.0-test',
      ...init,
    },
  )
  if (events !== undefined) made.on(events)
  return made
}

/** Waits until something is so; the test's own time-out is the deadline. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 15))
}

export function connectedIds(one: Network): string[] {
  return one.connected().map((peer) => peer.id)
}

export async function joined(a: Network, b: Network): Promise<void> {
  await until(() => connectedIds(a).includes(b.id) && connectedIds(b).includes(a.id))
}

/** Starts and stops: every network that was made is stopped after the test. */
export function networkPool(): { add(init?: TestInit): Promise<Network>; stopAll(): Promise<void> } {
  const all: Network[] = []
  return {
    async add(init) {
      const made = await network(init)
      all.push(made)
      return made
    },
    async stopAll() {
      await Promise.all(all.splice(0).map((one) => one.stop()))
    },
  }
}

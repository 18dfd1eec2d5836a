/** E6, in a federation: a member that was removed goes on offering itself for the secure sums of a job that it is part of. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Federation } from '../../src/federated/index.ts'
import type { Network } from '../../src/net/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { auditPeers } from '../../src/peer/audited.ts'
import { newIdentity, verify } from '../../src/trust/index.ts'
import type { AuditEvent, Identity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, writeSite } from '../federated/support/hospitals.ts'
import { run } from '../mesh/support/members.ts'
import { connectedIds, network, openMembership, until } from '../net/helpers.ts'
import { copyFor, found, random } from '../trust/support/cluster.ts'
import { least, most } from './attack.ts'
import type { Attack } from './attack.ts'

const SITES = 4
const ROUNDS = 6
/** It tries again and again; so often is waited for. */
const ATTEMPTS = 3

interface Place {
  readonly identity: Identity
  readonly network: Network
  readonly admits: (peer: string) => boolean
  stop(): Promise<void>
}

interface Stage {
  /** The last is the one that is removed, and does not believe it. */
  readonly places: readonly Place[]
  remove(): void
}

/** As it was before there were memberships. */
async function keyed(): Promise<Stage> {
  const networkKey = random.bytes(32)
  const places: Place[] = []
  for (let n = 0; n < SITES; n++) {
    const identity = newIdentity()
    const bootstrap = places.flatMap((one) => one.network.addresses())
    const made = await network({ identity, networkKey, membership: openMembership, bootstrap })
    places.push({ identity, network: made, admits: () => true, stop: () => made.stop() })
  }
  return { places, remove: () => undefined }
}

async function clustered(): Promise<Stage> {
  const { cluster, founder, time } = found()
  const others = Array.from({ length: SITES - 1 }, () => newIdentity())
  for (const [n, { id }] of others.entries()) cluster.admit({ peer: id, name: `s${n}`, role: 'site', site: '' })
  const copies = [cluster, ...others.map((identity) => copyFor(cluster, identity, time))]
  const places: Place[] = []
  for (const [n, identity] of [founder, ...others].entries()) {
    const one = copies[n]!
    const isLast = n === SITES - 1
    // it goes on with its old log, and with a program that asks nobody
    if (isLast) Object.assign(one, { merge: () => ({ added: [], fork: undefined }) })
    const bootstrap = places.flatMap((other) => other.network.addresses())
    const running = await run(one, identity, { bootstrap })
    const admits = (peer: string): boolean => isLast || one.membership.admits(peer, 'federate')
    places.push({ identity, network: running.network, admits, stop: () => running.stop() })
  }
  return { places, remove: () => void cluster.revoke(others.at(-1)!.id, 'lost') }
}

async function federationOf(folder: string, place: Place): Promise<Federation> {
  const { identity, network: net, admits } = place
  const home = join(folder, identity.id)
  mkdirSync(join(home, 'keys'), { recursive: true })
  return Federation.open({
    clock: systemClock(),
    random,
    identity,
    verify: (bytes, signature) => verify(identity.id, bytes, signature),
    network: net,
    engine: createOrtEngine(),
    threads: 1,
    paths: { state: home, keys: join(home, 'keys') },
    admits,
    permit: () => undefined,
    isPresent: (peer) => connectedIds(net).includes(peer),
    watch: (peer) => net.watch(peer),
    nameOf: (peer) => peer,
    emit: () => undefined,
    log: () => undefined,
  })
}

interface Round {
  readonly round: number
  readonly members: number
}

async function roundsOf(federation: Federation, job: string): Promise<Round[]> {
  const events = await federation.events(job)
  return events.flatMap((one) => (one['event'] === 'round' ? [one as unknown as Round] : []))
}

interface Offered {
  /** Rounds that ended after the removal: those with all sites in their sum, and those that the removed one was told of. */
  readonly over: number
  readonly whole: number
  readonly told: number
  /** Of the members, the fewest lines of an audit log about it: each attempt is one. */
  readonly audited: number
}

async function attempt(make: () => Promise<Stage>): Promise<Offered> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-participant-'))
  const stage = await make()
  const { places } = stage
  const sites: Federation[] = []
  try {
    for (const place of places) sites.push(await federationOf(folder, place))
    await until(() => places.every((one) => connectedIds(one.network).length === SITES - 1))
    const [author, last] = [sites[0]!, sites.at(-1)!]
    const { job } = await author.create(plan({ rounds: ROUNDS }))
    for (const [n, site] of sites.entries())
      await site.joinJob({ job, data: writeSite(folder, `s${n}`, hospitalRows(n + 1, 60, n)) })
    await until(() => author.status(job).joined.length === SITES)
    await author.start(job)
    const honest = sites.slice(0, -1)
    await until(() => sites.every((site) => site.status(job).round >= 1))
    stage.remove()
    const gone = places.at(-1)!
    const lines = places.slice(0, -1).map(() => 0)
    const write = (n: number) => ({
      tally: ({ who, what }: AuditEvent): void => {
        if (what === 'peer.refused' && who === `peer:${gone.identity.id}`) lines[n]!++
      },
    })
    for (const [n, one] of places.slice(0, -1).entries()) auditPeers(write(n), one.network)
    if (make === clustered)
      await until(() => places.slice(0, -1).every((one) => !connectedIds(one.network).includes(gone.identity.id)))
    const then = Math.max(...honest.map((site) => site.status(job).round))
    // its dialler and its member's loop go on by themselves; and it asks again
    for (const one of places.slice(0, -1)) gone.network.keep(one.network.addresses()[0]!)
    await until(() => honest.every((site) => site.status(job).state === 'finished'))
    // a round may have been in its last step when the entry came
    const after = (await roundsOf(author, job)).filter(({ round }) => round > then + 1)
    const told = (await roundsOf(last, job)).filter(({ round }) => round > then + 1)
    if (make === clustered) await until(() => Math.min(...lines) >= ATTEMPTS)
    return {
      over: after.length,
      whole: after.filter(({ members: all }) => all === SITES).length,
      told: told.length,
      audited: Math.min(...lines),
    }
  } finally {
    await Promise.all(sites.map((site) => site.stop()))
    await Promise.all(places.map((one) => one.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

export const participant: Attack = {
  id: 'E6b',
  name: 'a member that was removed, in the secure sums of a federation',
  async control() {
    const { over, whole, told } = await attempt(keyed)
    return [
      least('rounds after its removal, with a key alone', over, 2),
      least('of these, those with its share in the sum', whole, 2),
      least('of these, those whose model it has', told, 2),
    ]
  },
  async defended() {
    const { over, whole, told, audited } = await attempt(clustered)
    return [
      least('rounds after its removal', over, 2),
      most('of these, those with its share in the sum', whole, 0),
      most('of these, those whose model it has', told, 0),
      least('lines about it in the audit log of each member, one an attempt', audited, ATTEMPTS),
    ]
  },
}

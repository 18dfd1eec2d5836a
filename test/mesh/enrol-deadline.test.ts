/** The deadlines of an enrolment are from one step to the next: a long log over a slow line is not cut off in the middle. */
import { expect, test } from 'vitest'
import { serveEnrolments } from '../../src/mesh/index.ts'
import { ENROL, enrolFrame, enrolMac, NONCE_BYTES } from '../../src/mesh/membership/enrol-wire.ts'
import type { Channel, Frame, Network } from '../../src/net/index.ts'
import { newIdentity, secretHash } from '../../src/trust/index.ts'
import type { Cluster, InviteBook } from '../../src/trust/index.ts'
import { quietLogger } from '../net/helpers.ts'
import { found, random } from '../trust/support/cluster.ts'
import { virtualClock } from './support/virtual-clock.ts'

const FRAME_MS = 6_000

test('a log of five frames, each of which takes six seconds, is handed over whole; whoever falls silent is not waited for', async () => {
  const clock = virtualClock()
  const { cluster } = found()
  const joiner = newIdentity().id
  const long = Array.from({ length: 5 }, () => new Uint8Array(1 << 20))
  let isIn = false
  const entries: Cluster['log']['entries'] = (from, limit) => (isIn ? long : cluster.log.entries(from, limit))
  const log = { ...cluster.log, state: cluster.log.state, entries }
  const slow: Cluster = Object.create(cluster, { log: { value: log } }) as Cluster
  const secret = random.bytes(16)
  const granted = { role: 'member', site: '', again: false } as const
  const invites = { proofKey: () => secretHash(secret), check: () => granted, redeem: () => ((isIn = true), granted) }
  let serve: (channel: Channel) => void = () => undefined
  const network = { handleEarly: (_p: string, _for: string, handler: typeof serve) => void (serve = handler) }
  serveEnrolments(network as unknown as Network, {
    cluster: slow,
    invites: invites as unknown as InviteBook,
    clock,
    random,
    logger: quietLogger(),
    telemetry: { count: () => undefined },
    waits: () => undefined,
    ended: () => undefined,
    joined: () => undefined,
  })
  const visit = (): { readonly said: number[]; readonly ended: () => boolean; readonly hear: (one: Frame) => void } => {
    const said: number[] = []
    let ended = false
    let hear: (one: Frame) => void = () => undefined
    const whenEnded = Promise.withResolvers<Error | undefined>()
    const channel: Channel = {
      remote: joiner,
      closed: whenEnded.promise,
      onFrame: (handler) => void (hear = (one) => void Promise.resolve(handler(one)).catch(() => undefined)),
      async send(one) {
        if (one.type === ENROL.log) await clock.sleep(FRAME_MS)
        if (!ended) said.push(one.type)
      },
      close: () => Promise.resolve(end()),
      abort: () => end(),
    }
    const end = (): void => {
      ended = true
      whenEnded.resolve(undefined)
    }
    serve(channel)
    return { said, ended: () => ended, hear: (one) => hear(one) }
  }
  const one = visit()
  const nonce = random.bytes(NONCE_BYTES)
  const mac = enrolMac(secretHash(secret), 'joiner', { cluster: cluster.id, admin: cluster.self, joiner, nonce })
  one.hear(enrolFrame('ask', { invite: '0123456789abcdef', nonce, mac }))
  one.hear(enrolFrame('handIn', { secret, name: '' }))
  await clock.advance(5 * FRAME_MS + 1_000)
  expect(one.said.filter((type) => type === ENROL.log)).toHaveLength(5)
  const silent = visit()
  await clock.advance(11_000)
  expect([silent.ended(), silent.said]).toEqual([true, []])
})

/**
 * What somebody on the wire learns of a private cluster: all that crosses its network is recorded, from the founding to after a
 * removal, discovery included, and searched for names, ids, secrets, prompts and answers in every spelling. The control: an
 * open mesh beside it, asked in clear over HTTP, of which the same search finds all that.
 */
import { execFileSync } from 'node:child_process'
import { cp, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isWhole } from '../whole.ts'
import { found } from './canaries.ts'
import type { Canary } from './canaries.ts'
import { startCapture } from './capture.ts'
import type { Captured } from './capture.ts'
import { netlabFor } from './netlab.ts'
import { answer, BIN, counter, createLab, endProcess, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const { why, netlab, on } = netlabFor('cap')
const skipped = why ?? (isWhole ? undefined : 'it runs in whole runs')

const CLUSTER = 'heronfield-trust'
const PROMPT = 'Mrs Quillhaven, born in Ostrava, came with a marbled newt.'
const OPEN_PROMPT = 'Mr Fennimore of Trondheim had a spotted crake. The sailors'
const HOSTS = ['tern-ward-7', 'plover-lab-2', 'dunlin-desk-9', 'gannet-guest-4']
const SITES = ['saint-orlaith', 'saint-wulfric', 'saint-brannoc']
const NAMES = ['velvet-cormorant', 'amber-wheatear', 'cobalt-whimbrel']
const REASON = 'the badge was stolen'
const OPEN_HTTP = '10.77.0.4:7333'

type Three = readonly [RealPeer, RealPeer, RealPeer]

const request = (prompt: string): GenerateRequest => ({
  model: 'tiny',
  input: { kind: 'text', text: prompt },
  sampling: GREEDY,
  maxTokens: 48,
  ignoreEnd: true,
  deadline: 60_000,
})

/** Its text, the bytes that it stands for, and the public key in them. */
function idsOf(who: string, id: string): Record<string, Canary> {
  const peer = peerIdFromString(id)
  return { [`the id of ${who}`]: id, [`the public key of ${who}`]: peer.publicKey!.raw }
}

describe.skipIf(skipped !== undefined)(
  `a capture of a private cluster${skipped === undefined ? '' : ` (skipped: ${skipped})`}`,
  () => {
    let lab: Lab
    let stop: () => Promise<Captured>
    /** What must not be there. */
    const secret: Record<string, Canary> = {}

    beforeAll(async () => {
      netlab('up', '4', '--rtt', '4')
      lab = await createLab()
      await mkdir(lab.home('wire'))
      stop = await startCapture(on('hub'), lab.home('wire'))
    }, 60_000)
    afterAll(async () => {
      await lab.stop()
      netlab('down')
    })

    /** A machine with a name of its own. */
    const at = (host: number): string[] =>
      ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', HOSTS[host - 1]!].concat(on(host))
    const command = (host: number, name: string, ...args: string[]): Promise<Outcome> =>
      weft([...args, '--home', lab.home(name)], { command: [...at(host), process.execPath, BIN] })
    const documented = async (host: number, name: string, ...args: string[]): Promise<Record<string, unknown>> =>
      json((await command(host, name, ...args, '--json')).stdout)

    async function founded(): Promise<Three> {
      const made = await documented(1, 'a', 'cluster', 'create', CLUSTER, '--name', NAMES[0]!, '--site', SITES[0]!)
      secret['the id of the cluster'] = Buffer.from(made['id'] as string, 'hex')
      const peers = [await lab.startBare('a', at(1))]
      for (const [n, name] of ['b', 'c'].entries()) {
        const { token } = await documented(1, 'a', 'invite', 'create', '--role', 'site', '--site', SITES[n + 1]!)
        const body = Buffer.from((token as string).slice('weft1-'.length), 'base64url')
        secret[`the invite of ${name}`] = token as string
        secret[`the number of the invite of ${name}`] = body.subarray(33, 41)
        secret[`the secret of ${name}`] = body.subarray(41, 57)
        expect(await documented(n + 2, name, 'join', token as string, '--name', NAMES[n + 1]!)).toMatchObject({
          schema: 'weft.joined/1',
        })
        peers.push(await lab.startBare(name, at(n + 2)))
      }
      for (const [n, { id, home }] of peers.entries()) {
        Object.assign(secret, idsOf(`member ${n}`, id))
        secret[`the private key of member ${n}`] = (await readFile(join(home, 'keys', 'identity.key'))).subarray(4, 36)
      }
      return peers as unknown as Three
    }

    async function served(peers: Three): Promise<void> {
      const [a, b, c] = peers
      await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
      const stages = placement('tiny', [
        [a, 0, 1],
        [b, 1, 4],
        [c, 4, 7],
        [a, 7, 8],
      ])
      await a.access.deploy('tiny', stages, () => undefined)
      // at the second the ids themselves cross the wire: the embedding is at the first
      for (const origin of [a, b]) {
        const got = await answer(origin, request(PROMPT))
        expect(got.error).toBeUndefined()
        expect(new Set(got.route.map(({ peer }) => peer)).size).toBe(3)
        const { text, ids } = got.end!
        expect(text.length).toBeGreaterThan(60)
        Object.assign(secret, { 'the answer': text.slice(0, 40), 'the end of it': text.slice(-24) })
        secret['tokens of the answer'] = ids.slice(4, 12)
      }
    }

    /** With all that it had before; the door is shut. */
    async function comesAgain(a: RealPeer, c: RealPeer): Promise<void> {
      for (const folder of ['cluster', 'keys', 'peers', 'state'])
        await cp(join(lab.home('c'), folder), join(lab.home('c-old'), folder), { recursive: true })
      await a.access.cluster({ do: 'revoke', peer: c.id, reason: REASON })
      await until('it is cut off', async () => (await counter(a, 'members_cut')) > 0)
      await endProcess(c.child)
      await lab.start('c-old', ['--bootstrap', a.addresses.find((one) => one.includes('/10.77.'))!], at(3))
      await until('it is refused', async () => (await counter(a, 'members_refused')) > 0)
    }

    /** An open mesh, and its API in clear on the LAN: the answer, as it was sent. */
    async function controlled(): Promise<{ readonly open: RealPeer; readonly text: string }> {
      const key = await documented(4, 'open', 'key', 'create', '--name', 'guest')
      const open = await lab.startOnLan('open', OPEN_HTTP, at(4))
      await open.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
      const body = JSON.stringify({ model: 'tiny', prompt: OPEN_PROMPT, max_tokens: 48, temperature: 0 })
      const [file, ...rest] = on(1)
      const call = ['curl', '-sS', '-H', `Authorization: Bearer ${key['secret'] as string}`]
      const more = ['-H', 'Content-Type: application/json', '-d', body, `http://${OPEN_HTTP}/v1/completions`]
      const said = json(execFileSync(file!, [...rest, ...call, ...more], { encoding: 'utf8' }))
      const [{ text }] = said['choices'] as [{ text: string }]
      return { open, text }
    }

    it('has nothing of it in any spelling, and all of an open mesh beside it', async () => {
      const { open, text } = await controlled()
      const peers = await founded()
      await joined(peers)
      await served(peers)
      await comesAgain(peers[0], peers[2])
      Object.assign(secret, { cluster: CLUSTER, prompt: PROMPT, 'its name': 'Quillhaven', reason: REASON })
      for (const [n, words] of [HOSTS.slice(0, 3), SITES, NAMES].entries())
        for (const word of words) secret[`${['host', 'site', 'name'][n]!} ${word}`] = word
      const { whole, streams, datagrams } = await stop()
      const all = [whole, ...streams]
      const control = { 'its id': open.id, mesh: lab.network, prompt: OPEN_PROMPT, answer: text }
      const clear = new Set(found(all, control).map((hit) => hit.split(':')[0]))
      expect(clear).toEqual(new Set(Object.keys(control)))
      expect(datagrams.filter(({ port }) => port === 5353).length).toBeGreaterThan(12)
      expect(streams.filter(({ length }) => length > 10_000).length).toBeGreaterThan(6)
      expect(found(all, secret)).toEqual([])
    }, 240_000)
  },
)

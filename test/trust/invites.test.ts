/** Invites: as text that survives no damage, and as uses that are taken once. */
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { decodeToken, encodeToken, newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { InviteBook, InviteInit } from '../../src/trust/index.ts'
import { random } from './support/cluster.ts'

function coded(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was thrown'
}

const admin = newIdentity().id
const token = {
  cluster: '5c'.repeat(32),
  invite: '0123456789abcdef',
  secret: new Uint8Array(16).fill(7),
  addresses: [`/ip4/192.0.2.7/tcp/7334/p2p/${admin}`, `/dns4/weft.example/tcp/1/p2p/${admin}`],
}

/** As somebody else might make one: whole by its checksum, whatever its addresses are. */
function forged(addresses: readonly string[]): string {
  const head = Buffer.from(encodeToken(token).slice('weft1-'.length), 'base64url').subarray(0, 57)
  const parts = addresses.flatMap((one) => [Uint8Array.of(one.length >> 8, one.length & 0xff), Buffer.from(one)])
  const body = Buffer.concat([head, Uint8Array.of(addresses.length), ...parts])
  const check = createHash('sha256').update('weft invite 1\n').update(body).digest().subarray(0, 8)
  return `weft1-${Buffer.concat([body, check]).toString('base64url')}`
}

describe('a token', () => {
  test('says what was put in, in one spelling, white space around it aside', () => {
    const text = encodeToken(token)
    expect(text).toMatch(/^weft1-[\w-]+$/)
    expect(decodeToken(`  ${text}\r\n`)).toEqual(token)
    expect(encodeToken(decodeToken(text))).toBe(text)
  })

  test('is refused when a character is lost, added or changed, wherever', () => {
    const text = encodeToken(token)
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('drop', 'flip', 'cut', 'double'), (at, how) => {
        const other = text[at] === 'A' ? 'B' : 'A'
        const damaged = {
          drop: text.slice(0, at) + text.slice(at + 1),
          flip: text.slice(0, at) + other + text.slice(at + 1),
          cut: text.slice(0, at),
          double: text.slice(0, at) + text.slice(at) + text.slice(at),
        }[how]
        expect(coded(() => decodeToken(damaged))).toBe('WEFT-TRU-150')
      }),
      { numRuns: 1_500 },
    )
  })

  const lan = (last: string): string => `/ip4/192.0.2.7/tcp/7334${last}`
  test.each<[string, string[]]>([
    ['none at all', []],
    ['nine', Array.from({ length: 9 }, () => lan(`/p2p/${admin}`))],
    ['one without a peer', [lan('')]],
    ['one of another peer', [lan(`/p2p/${admin}`), lan(`/p2p/${newIdentity().id}`)]],
    ['one that is too long', [`/dns4/${'a'.repeat(200)}.example/tcp/1/p2p/${admin}`]],
    ['a circuit through nobody', [`${lan('')}/p2p-circuit/p2p/${admin}`]],
    ['a circuit to nobody', [`${lan(`/p2p/${newIdentity().id}`)}/p2p-circuit`]],
    [
      'a circuit to another than the rest',
      [lan(`/p2p/${admin}`), `${lan(`/p2p/${admin}`)}/p2p-circuit/p2p/${newIdentity().id}`],
    ],
    [
      'a circuit of circuits',
      [`${lan(`/p2p/${newIdentity().id}`)}/p2p-circuit/p2p/${newIdentity().id}/p2p-circuit/p2p/${admin}`],
    ],
    ['what is no multiaddr', [`/ip4/300.1.1.1/tcp/7334/p2p/${admin}`]],
    ['another transport', [`/ip4/192.0.2.7/udp/53/p2p/${admin}`]],
    ['a command', [`/ip4/$(reboot)/tcp/1/p2p/${admin}`]],
  ])('is not made with these addresses: %s', (_what, addresses) => {
    expect(coded(() => encodeToken({ ...token, addresses }))).toBe('WEFT-TRU-160')
    expect(coded(() => decodeToken(forged(addresses)))).toBe('WEFT-TRU-150')
  })

  test('that was cut off is called so wherever that was, and damage is called damage', () => {
    const whole = encodeToken(token)
    const why = (text: string): string | undefined => {
      try {
        decodeToken(text)
      } catch (error) {
        return (error as { why?: string }).why
      }
      return undefined
    }
    for (let length = 'weft1-'.length; length < whole.length; length++)
      expect(why(whole.slice(0, length)), `${length} characters`).toMatch(/^it is cut off/)
    expect(why(`${whole.slice(0, 40)}${whole[40] === 'q' ? 'p' : 'q'}${whole.slice(41)}`)).toMatch(/wrong or missing/)
    expect(why(`${whole.slice(0, 40)}!${whole.slice(41)}`)).toMatch(/characters that no invite has/)
  })

  test.each<[string, string]>([
    ['nothing', ''],
    ['blanks', ' \n'],
    ['another word', 'hello'],
    ['a prefix alone', 'weft1-'],
    ['padding', `${encodeToken(token)}=`],
    ['white space inside', encodeToken(token).replace(/(.{30})/, '$1 ')],
    ['another alphabet', encodeToken(token).replaceAll('-', '+').replace('weft1+', 'weft1-+')],
    ['a megabyte', `weft1-${'A'.repeat(1 << 20)}`],
    ['shell characters', 'weft1-$(reboot)'],
    ['another version', encodeToken(token).replace('weft1-AV', 'weft1-Al')],
  ])('is not %s', (_what, text) => {
    expect(coded(() => decodeToken(text))).toBe('WEFT-TRU-150')
  })
})

describe('a book of invites', () => {
  let directory: string
  let book: InviteBook
  const path = (): string => join(directory, 'invites.sqlite')
  const init: InviteInit = { role: 'member', site: 'hq', expires: 10_000, uses: 1, approve: false }
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-invites-'))
    book = openInviteBook(path(), random)
  })
  afterEach(async () => {
    book.close()
    await rm(directory, { recursive: true, force: true })
  })
  const peer = (): string => newIdentity().id

  test('lets one in with one use, and tells everybody else why not', async () => {
    const { invite, secret } = book.create(init, 1)
    const ask = { id: invite.id, secret, name: 'n', now: 5, standing: 'new' as const }
    const [first, second] = [peer(), peer()]
    expect(book.redeem({ ...ask, peer: first })).toEqual({ role: 'member', site: 'hq', again: false })
    expect(coded(() => book.redeem({ ...ask, peer: second }))).toBe('WEFT-TRU-153')
    // it was killed before it heard: the same one gets the same again, and nobody else does
    expect(book.redeem({ ...ask, peer: first }).again).toBe(true)
    const wrong = new Uint8Array(16)
    expect(coded(() => book.redeem({ ...ask, secret: wrong, peer: first }))).toBe('WEFT-TRU-151')
    expect(coded(() => book.redeem({ ...ask, id: 'ffffffffffffffff', peer: first }))).toBe('WEFT-TRU-151')
    book.close()
    book = openInviteBook(path(), random)
    expect(coded(() => book.redeem({ ...ask, peer: second }))).toBe('WEFT-TRU-153')
    expect(book.list()).toMatchObject([{ left: 0, used_by: [first] }])
    expect((await stat(path())).mode & 0o777).toBe(0o600)
  })

  test('refuses what has expired by its clock, what is for another, and what was taken back', () => {
    const { invite, secret } = book.create({ ...init, peer: admin, uses: 2 }, 1)
    const ask = { id: invite.id, secret, name: 'n', now: 5, standing: 'new' as const }
    expect(coded(() => book.redeem({ ...ask, peer: peer() }))).toBe('WEFT-TRU-154')
    expect(coded(() => book.redeem({ ...ask, peer: admin, now: 10_000 }))).toBe('WEFT-TRU-152')
    expect(book.redeem({ ...ask, peer: admin, now: 9_999 }).again).toBe(false)
    book.remove(invite.id)
    expect(coded(() => book.redeem({ ...ask, peer: admin }))).toBe('WEFT-TRU-151')
    expect(coded(() => book.remove(invite.id))).toBe('WEFT-TRU-151')
  })

  test('is spent for who has left, and is not taken by who is a member already', () => {
    const { invite, secret } = book.create({ ...init, uses: 2 }, 1)
    const ask = { id: invite.id, secret, name: 'n', now: 5 }
    const [leaver, member] = [peer(), peer()]
    expect(coded(() => book.redeem({ ...ask, peer: member, standing: 'member' }))).toBe('WEFT-TRU-156')
    expect(book.list()).toMatchObject([{ left: 2, used_by: [] }])
    expect(book.redeem({ ...ask, peer: leaver, standing: 'new' }).again).toBe(false)
    expect(book.redeem({ ...ask, peer: leaver, standing: 'member' }).again).toBe(true)
    for (const how of ['check', 'redeem'] as const)
      expect(coded(() => book[how]({ ...ask, peer: leaver, standing: 'left' }))).toBe('WEFT-TRU-153')
    const other = book.create(init, 1)
    const fresh = { ...ask, id: other.invite.id, secret: other.secret }
    expect(book.redeem({ ...fresh, peer: leaver, standing: 'left' }).again).toBe(false)
    expect(book.list().map(({ left }) => left)).toEqual([1, 0])
  })

  test('with approval lets in whom a person approves', () => {
    const { invite, secret } = book.create({ ...init, approve: true, uses: 2 }, 1)
    const ask = { id: invite.id, secret, name: 'newcomer', now: 5, standing: 'new' as const }
    const [good, bad] = [peer(), peer()]
    for (const one of [good, bad, good]) expect(coded(() => book.redeem({ ...ask, peer: one }))).toBe('WEFT-TRU-155')
    expect(book.waiting().map((one) => one.peer)).toEqual(expect.arrayContaining([good, bad]))
    expect([book.decide(good, true), book.decide(bad, false), book.decide(peer(), true)]).toEqual([true, true, false])
    expect(book.redeem({ ...ask, peer: good }).again).toBe(false)
    expect(coded(() => book.redeem({ ...ask, peer: bad }))).toBe('WEFT-TRU-156')
    expect(book.waiting()).toEqual([])
  })

  test('a hundred who come at once, in four processes, of which one is killed: exactly one wins', async () => {
    const { invite, secret } = book.create(init, 1)
    const child = new URL('./support/redeem.ts', import.meta.url)
    const children = Array.from({ length: 4 }, () =>
      fork(child, [path(), invite.id, Buffer.from(secret).toString('hex'), '25'], {
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      }),
    )
    const winners: string[] = []
    for (const one of children) one.on('message', (message) => winners.push(message as string))
    // whoever wins is killed as soon as it has told of it
    for (const one of children) one.once('message', () => one.kill('SIGKILL'))
    await Promise.all(children.map((one) => once(one, 'exit')))
    expect(winners).toHaveLength(1)
    expect(book.list()[0]).toMatchObject({ left: 0, used_by: winners })
  }, 60_000)
})

import { describe, expect, it } from 'vitest'
import { hash, refusals, results } from './vectors-support.ts'
import type { Result, Row } from './vectors-support.ts'

/** The published session: four members, the last one gone after it shared its keys. */
const published = {
  t: 3,
  bits: 32,
  f: 16,
  c: 8,
  d: 8,
  coefficients: 'coef',
  session: { sid: 'keys' },
  parties: [0, 1, 2, 3].map((i) => ({
    s: hash(`s${i}`),
    c: hash(`c${i}`),
    b: hash(`b${i}`),
    x: Array.from({ length: 8 }, (_, k) => (k - 3) * 0.25 * (i + 1)),
    ...(i === 3 ? { last: 'share' } : {}),
  })),
}

/** A session with identities and a header. */
const bound = {
  t: 3,
  bits: 24,
  f: 8,
  c: 2,
  d: 3,
  records_min: 60,
  coefficients: 'label',
  session: { header: { federation: 'f', job: 'j', round: 1, model: hash('model'), plan: hash('plan') } },
  parties: [0, 1, 2, 3, 4].map((i) => ({
    name: `site-${i}`,
    s: hash(`s ${i}`),
    c: hash(`c ${i}`),
    b: hash(`b ${i}`),
    identity: hash(`identity ${i}`),
    nonce: hash(`nonce ${i}`).slice(0, 32),
    records: 20 + i,
    q: [i, -i, 100],
  })),
}

type Session = typeof bound
type Party = Session['parties'][number]

function withParty(place: number, change: Row, session: Session = bound): Session {
  return { ...session, parties: session.parties.map((party, at) => (at === place ? { ...party, ...change } : party)) }
}

describe('secagg, a session', () => {
  it('is the published one, value for value', async () => {
    const [result] = await results('secagg', [published])
    expect(result).toMatchObject({
      ok: true,
      roster: ['0', '1', '2', '3'],
      sid: '8d195908b53b9f248357be9a094b13e54237a05df08ce420f1cc57e050c4d64b',
      U2: [0, 1, 2, 3],
      U5: [0, 1, 2],
      encoded: { 0: [4294918144, 4294934528, 4294950912, 0, 16384, 32768, 49152, 65536] },
      masked: { 2: [3818319384, 1091788016, 150652882, 1302421205, 607371020, 836673645, 755607575, 1600423805] },
      blamed: [],
      reconstructed: { s: { 3: hash('s3') } },
      sum: [4294672384, 4294770688, 4294868992, 0, 98304, 196608, 294912, 393216],
      sum_digest: 'e044952ba4bdee8f822af87397d84ee8dcba01ac13ba48d3cddb2b9183a25a1f',
      decoded: [-4.5, -3, -1.5, 0, 1.5, 3, 4.5, 6],
    })
    expect(result!['pair_key']).toMatchObject({
      '0-1': '01e82fe680c5e4f4f4dfc012c2a6eb5de83af597a9ef0989fe8cb4f3da4cea0f',
    })
    expect(result!['channel_key']).toMatchObject({
      '0-1': 'c88667252ecee084b79cb1daf700adff8b1bb1c812a0354660b22cf0b7b5cfb2',
    })
    expect(result).not.toHaveProperty('identity_pk')
    expect(result).not.toHaveProperty('header')
  })

  it('sorts its roster by identity, and shows no vectors that are long', async () => {
    const long = { ...bound, d: 1025, parties: bound.parties.map((party) => ({ ...party, q: zeros(1025) })) }
    const [short, whole] = await results('secagg', [bound, long])
    const keys = short!['identity_pk'] as string[]
    expect(keys).toEqual(keys.toSorted())
    expect((short!['roster'] as string[]).toSorted()).toEqual(bound.parties.map(({ name }) => name))
    for (const field of ['encoded', 'masked', 'sum', 'decoded']) {
      expect(short).toHaveProperty(field)
      expect(whole).not.toHaveProperty(field)
    }
    expect(whole!['sum_digest']).toMatch(/^[0-9a-f]{64}$/)
  })

  it('takes vectors as packed integers, and says the same', async () => {
    const i32 = Buffer.from(Int32Array.of(1, -1, 100).buffer).toString('base64')
    const packed = { ...bound, parties: bound.parties.map((party, i) => (i === 1 ? { ...party, q: { i32 } } : party)) }
    const [list, base64] = await results('secagg', [bound, packed])
    expect(base64!['sum']).toEqual(list!['sum'])
    expect(base64!['decoded']).toEqual([10 / 256, -10 / 256, 500 / 256])
  })

  it('names whoever holds a wrong share, and the owner where it cannot be mended', async () => {
    const share = { of: 'site-2', by: 'site-4', kind: 'b', xor: '01ff' }
    const late = withParty(0, { last: 'consistency' }, withParty(1, { last: 'consistency' }))
    const [mended, lost, absent] = await results('secagg', [
      { ...bound, tamper: { share } },
      { ...late, tamper: { share } },
      { ...withParty(2, { last: 'share' }), tamper: { share: { ...share, kind: 's' } } },
    ])
    const roster = mended!['roster'] as string[]
    expect(mended!['blamed']).toEqual([roster.indexOf('site-4')])
    expect(mended!['sum']).toEqual((await results('secagg', [bound]))[0]!['sum'])
    expect(absent!['blamed']).toHaveLength(1)
    expect(refusals([lost!])).toEqual(['share site-2'])
  })

  it('refuses by the rules of the protocol, and names whom it means', async () => {
    const list = await results('secagg', [
      withParty(1, { identity: hash('identity 3') }),
      withParty(1, { s: hash('s 3') }),
      withParty(4, { s_pk: '00'.repeat(32) }),
      withParty(4, { c_pk: `01${'00'.repeat(31)}` }),
      { ...bound, tamper: { ciphertext: { from: 'site-2', to: 'site-0', xor: '80' } } },
      { ...bound, records_min: 1000 },
      withParty(0, { last: 'none' }, withParty(1, { last: 'advertise' }, withParty(2, { last: 'share' }))),
      { ...bound, t: 2 },
      { ...bound, t: 6 },
      { ...bound, bits: 12 },
      { ...bound, bits: 40 },
      { ...bound, noise_sd: 1e6 },
      { ...bound, d: 0 },
      withParty(3, { q: [0, 9000, 0] }),
      withParty(3, { q: [0, 0, 'NaN'] }),
      withParty(3, { q: [0, 0] }),
      withParty(3, { last: 'share', s_pk: hash('some other point').replace(/.$/, '0') }),
    ])
    const roster = (await results('secagg', [bound]))[0]!['roster'] as string[]
    const first = (...names: string[]): string => names.toSorted((x, y) => roster.indexOf(x) - roster.indexOf(y))[0]!
    expect(refusals(list)).toEqual([
      expect.stringMatching(/^duplicate-identity site-[13]$/),
      `duplicate-key ${first('site-1', 'site-3')}`,
      'weak-key site-4',
      'weak-key site-4',
      'ciphertext site-2',
      'min-records',
      'threshold',
      'threshold',
      'threshold',
      'modulus',
      'modulus',
      'modulus',
      'empty',
      'out-of-range site-3 1',
      'not-finite site-3 2',
      'length site-3',
      'share site-3',
    ])
  })
})

describe('secagg, one member', () => {
  /** What an honest aggregator would send to the member at a position, out of a session. */
  async function scripted(): Promise<{ input: Row; script: Row[]; session: Result; position: number }> {
    const absent = withParty(2, { last: 'share' })
    const [session] = await results('secagg', [absent])
    const roster = session!['roster'] as string[]
    const field = (name: string): string[] => session![name] as string[]
    const by = (name: string): Record<string, string> => session![name] as Record<string, string>
    const me = roster.indexOf('site-0')
    const party = (name: string): Party => bound.parties.find((one) => one.name === name)!
    const entries = roster.map((name, i) => ({
      identity_pk: field('identity_pk')[i],
      c_pk: field('c_pk')[i],
      s_pk: field('s_pk')[i],
      commitment: field('commitment')[i],
      nonce: party(name).nonce,
      records: party(name).records,
      signature: field('advertise_signature')[i],
    }))
    const others = roster.map((_, i) => i).filter((i) => i !== me)
    const U3 = session!['U3'] as number[]
    const script = [
      { roster: entries.toReversed() },
      { ciphertexts: others.map((from) => ({ from, data: by('ciphertext')[`${from}-${me}`] })) },
      {
        survivors: U3.map((i) => ({
          party: i,
          digest: by('masked_digest')[i],
          signature: by('masked_signature')[i],
        })),
      },
      { consistency: U3.map((i) => ({ party: i, signature: by('survivors_signature')[i] })) },
    ]
    const { s, c, b, identity, nonce, records, q } = party('site-0')
    const { header } = bound.session
    const { t, bits, f, d } = bound
    const secrets = { identity, nonce, s, c, b, records, q, coefficients: 'label' }
    const input = {
      op: 'client',
      t,
      bits,
      f,
      c: bound.c,
      d,
      records_min: 50,
      header,
      members: field('identity_pk'),
      me: secrets,
      script,
    }
    return { input, script, session: session!, position: me }
  }

  it('answers an honest aggregator as in the session', async () => {
    const { input, session, position } = await scripted()
    const [result] = await results('secagg', [input])
    const [advertise, shares, masked, consistency, reveal] = result!['replies'] as Row[]
    const at = (name: string): string => (session[name] as Record<string, string>)[position]!
    expect(advertise).toMatchObject({ advertise: { signature: at('advertise_signature'), records: 20 } })
    expect(shares).toMatchObject({ shares: { sid: session['sid'], index: position } })
    expect(masked).toMatchObject({ masked: { digest: at('masked_digest'), signature: at('masked_signature') } })
    expect(consistency).toEqual({ consistency: { signature: at('survivors_signature') } })
    expect(reveal).toEqual({ reveal: at('reveal') })
  })

  it('ends its list with the violation', async () => {
    const { input, script } = await scripted()
    const [roster, ciphertexts, survivors, consistency] = script as [Row, Row, Row, Row]
    const list = (event: Row): Row[] => Object.values(event)[0] as Row[]
    const other = { ...bound.session.header, round: 2 }
    const scripts: Row[][] = [
      [roster, roster],
      [ciphertexts],
      [roster, { ciphertexts: [list(ciphertexts)[0], list(ciphertexts)[0]] }],
      [
        roster,
        {
          ciphertexts: list(ciphertexts)
            .slice(1)
            .map((one) => ({ ...one, data: '00' })),
        },
      ],
      [roster, ciphertexts, { survivors: list(survivors).slice(0, 1) }],
      [roster, ciphertexts, survivors, { consistency: list(consistency).slice(0, 2) }],
      [roster, ciphertexts, survivors, survivors],
      [...script, consistency],
      [{ roster: [] }],
    ]
    const given = await results('secagg', [
      ...scripts.map((events) => ({ ...input, script: events })),
      { ...input, header: other },
      { ...input, members: (input['members'] as string[]).slice(1) },
      { ...input, records_min: 1e6 },
    ])
    const ends = given.map((result) => {
      const replies = result['replies'] as Row[]
      return [replies.length, (replies.at(-1)!['abort'] as Row | undefined)?.['kind']]
    })
    expect(ends).toEqual([
      [3, 'replay'],
      [2, 'order'],
      [3, 'survivors'],
      [3, 'ciphertext'],
      [4, expect.stringMatching(/survivors|threshold/)],
      [5, 'threshold'],
      [5, 'replay'],
      [6, 'replay'],
      [2, 'own-keys'],
      [2, 'own-keys'],
      [2, 'not-a-member'],
      [4, 'min-records'],
    ])
  })

  it('has a transcript that anybody may check', async () => {
    const { session } = await scripted()
    const masked = session['masked'] as Record<string, number[]>
    const packing = Object.entries(masked).map(([, words]) => ({ op: 'pack', bits: 24, words }))
    const packed = (await results('quantize', packing)).map(({ bytes }) => bytes as string)
    const audit = {
      op: 'audit',
      t: 3,
      bits: 24,
      d: 3,
      sid: session['sid'],
      roster: (session['s_pk'] as string[]).map((s_pk, i) => ({
        s_pk,
        commitment: (session['commitment'] as string[])[i],
      })),
      U2: session['U2'],
      U3: session['U3'],
      masked: Object.fromEntries(Object.keys(masked).map((key, i) => [key, packed[i]])),
      masked_digest: session['masked_digest'],
      reveal: session['reveal'],
    }
    const one = Object.keys(masked)[1]!
    const spoiled = { ...audit, masked: { ...audit.masked, [one]: audit.masked[one]!.replace(/^./, 'f') } }
    const few = { ...audit, reveal: Object.fromEntries(Object.entries(audit.reveal as Row).slice(0, 2)) }
    const list = await results('secagg', [audit, spoiled, few])
    expect(list[0]).toMatchObject({ sum: session['sum'], sum_digest: session['sum_digest'], blamed: [] })
    expect(list[0]!['reconstructed']).toEqual(session['reconstructed'])
    expect(refusals(list.slice(1))).toEqual([`digest ${one}`, 'threshold'])
  })
})

function zeros(count: number): number[] {
  return Array.from({ length: count }, () => 0)
}

/** What a policy decides, and what is said of a file with a mistake. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, explainPolicy, newIdentity, readPolicy } from '../../../src/trust/index.ts'
import type { Policy, PolicyAction, PolicyRequest } from '../../../src/trust/index.ts'
import type { PolicyProblem, Role } from '../../../src/trust/index.ts'

const [US, THEM, OTHER] = [newIdentity().id, newIdentity().id, newIdentity().id]
/** A Monday, 09:30 UTC. */
const MONDAY = Date.UTC(2026, 10, 23, 9, 30)
const HOUR = 3_600_000

function policy(rest: object): Policy {
  return readPolicy(JSON.stringify({ schema: 'weft.policy/1', rules: [], ...rest }), 'policy.json')
}

function rule(rest: object, top: object = {}): Policy {
  return policy({ ...top, rules: [{ name: 'it', ...rest }] })
}

const ask = (given: Policy, request: PolicyRequest, now = MONDAY) => decide(given, request, now)

describe('a policy', () => {
  test('denies all that no rule allows', () => {
    const empty = policy({})
    for (const action of ['connect', 'relay', 'place', 'compute', 'fetch'] as const)
      expect(ask(empty, { action, peer: US })).toMatchObject({ allow: false, rule: 'default' })
    for (const action of ['route', 'train', 'data'] as const)
      expect(ask(empty, { action, peer: US })).toMatchObject({ allow: false, rule: 'egress' })
  })

  test('names the rule that decided', () => {
    const given = rule({ allow: ['compute'], peers: [THEM] })
    expect(ask(given, { action: 'compute', peer: THEM })).toMatchObject({ allow: true, rule: 'it' })
    const refused = ask(given, { action: 'compute', peer: OTHER })
    expect(refused).toEqual({
      allow: false,
      rule: 'default',
      why: 'rule it would allow it, but not for this peer',
    })
  })

  test('lets a rule that denies win over any that allows, whatever their order', () => {
    const rules = [
      { name: 'all', allow: ['fetch'] },
      { name: 'not-these', deny: ['fetch'], models: ['secret:*'] },
    ]
    for (const order of [rules, rules.toReversed()]) {
      const given = policy({ rules: order })
      expect(ask(given, { action: 'fetch', peer: THEM, model: 'open:1b' }).rule).toBe('all')
      expect(ask(given, { action: 'fetch', peer: THEM, model: 'secret:1b' })).toMatchObject({
        allow: false,
        rule: 'not-these',
      })
      // A file of which nobody knows the model may be one of these.
      expect(ask(given, { action: 'fetch', peer: THEM })).toMatchObject({ allow: false, rule: 'not-these' })
    }
  })

  test('lets nothing leave beyond what it says leaves, whatever a rule allows', () => {
    const allow = { allow: ['route', 'train', 'data'] }
    const given = rule(allow, { groups: { ours: [THEM] }, egress: { activations: ['@ours'], sums: [OTHER] } })
    expect(ask(given, { action: 'route', peer: THEM }).allow).toBe(true)
    expect(ask(given, { action: 'route', peer: OTHER })).toMatchObject({ allow: false, rule: 'egress' })
    expect(ask(given, { action: 'train', peer: OTHER }).allow).toBe(true)
    expect(ask(given, { action: 'train', peer: THEM }).allow).toBe(false)
    expect(ask(given, { action: 'data', peer: THEM })).toMatchObject({ rule: 'egress' })
    for (const egress of ['nothing', {}, { activations: 'nothing' }, undefined])
      expect(ask(rule(allow, { egress }), { action: 'route', peer: THEM }).allow).toBe(false)
  })

  test('knows roles, models, plans, data, budgets and cohorts; what is not told does not fit', () => {
    const given = rule(
      {
        allow: ['train'],
        roles: ['site', 'admin'],
        plans: ['heart-*'],
        data: ['heart'],
        budget: { epsilon: 3, delta: 1e-5 },
        minimum: { sites: 3, records: 64 },
      },
      { egress: { sums: [THEM] } },
    )
    const whole = {
      action: 'train',
      peer: THEM,
      role: 'site',
      plan: 'heart-2',
      data: 'heart',
      epsilon: 3,
      delta: 1e-5,
      sites: 3,
      records: 64,
    } as const
    expect(ask(given, whole).allow).toBe(true)
    const changes: Partial<PolicyRequest>[] = [
      { role: 'guest' },
      { plan: 'lung-1' },
      { data: 'heart2' },
      { epsilon: 3.01 },
      { delta: 1e-4 },
      { sites: 2 },
      { records: 63 },
    ]
    for (const change of changes) expect(ask(given, { ...whole, ...change }).allow, JSON.stringify(change)).toBe(false)
    for (const key of Object.keys(whole).filter((each) => each !== 'action' && each !== 'peer'))
      expect(ask(given, { ...whole, [key]: undefined }).allow, key).toBe(false)
  })

  test('takes a role as it is where the rest is not known yet: who has none is in none', () => {
    const given = policy({
      rules: [
        { name: 'it', allow: ['compute'], roles: ['member'], models: ['tiny*'] },
        { name: 'no-guests', deny: ['fetch'], roles: ['guest'] },
        { name: 'files', allow: ['fetch'] },
      ],
    })
    const possible = (action: PolicyAction, role?: Role): boolean =>
      decide(given, { action, peer: US, role }, MONDAY, 'possible').allow
    expect([possible('compute', 'member'), possible('compute', 'guest'), possible('compute')]).toEqual([
      true,
      false,
      false,
    ])
    expect([possible('fetch', 'member'), possible('fetch', 'guest'), possible('fetch')]).toEqual([true, false, false])
  })

  test('says how long a membership is believed that no admin confirms; without a word for ever', () => {
    expect(policy({ rules: [] }).maxAge).toBeUndefined()
    expect(explainPolicy(policy({ rules: [] })).max_age).toBeNull()
    for (const [max_age, ms] of [
      ['30s', 30_000],
      ['90m', 5_400_000],
      ['1h', 3_600_000],
      ['365d', 31_536_000_000],
    ] as const) {
      const given = policy({ rules: [], max_age })
      expect(given.maxAge).toBe(ms)
      expect(explainPolicy(given).max_age).toEqual({ ms, text: expect.stringContaining(max_age) as string })
    }
  })

  test('knows hours in a time zone, over midnight too, and an end', () => {
    const at = (hours: object, now: number): boolean =>
      ask(rule({ allow: ['compute'], hours }), { action: 'compute', peer: US }, now).allow
    const office = { days: ['mon'], from: '08:00', to: '18:00' }
    expect([at(office, MONDAY), at(office, MONDAY + 24 * HOUR), at(office, MONDAY + 9 * HOUR)]).toEqual([
      true,
      false,
      false,
    ])
    // 09:30 UTC is 04:30 in New York.
    expect(at({ ...office, zone: 'America/New_York' }, MONDAY)).toBe(false)
    expect(at({ ...office, zone: 'America/New_York' }, MONDAY + 4 * HOUR)).toBe(true)
    const night = { days: ['sun'], from: '22:00', to: '06:00' }
    expect(at(night, MONDAY - 8 * HOUR)).toBe(true)
    expect(at(night, MONDAY - 4 * HOUR)).toBe(true)
    expect(at(night, MONDAY)).toBe(false)
    expect(at(night, MONDAY + 18 * HOUR)).toBe(false)
    const until = rule({ allow: ['compute'], until: new Date(MONDAY).toISOString() })
    expect(ask(until, { action: 'compute', peer: US }).allow).toBe(true)
    expect(ask(until, { action: 'compute', peer: US }, MONDAY + 1).allow).toBe(false)
  })

  test('is a pure function of policy, request and time, and never allows what the same policy with fewer allowing rules denies', () => {
    const actions = ['compute', 'fetch', 'place'] as const
    const ruleOf = fc.record({
      effect: fc.constantFrom('allow', 'deny'),
      actions: fc.uniqueArray(fc.constantFrom(...actions), { minLength: 1 }),
      peers: fc.option(fc.uniqueArray(fc.constantFrom(US, THEM, OTHER), { minLength: 1 }), { nil: undefined }),
      models: fc.option(fc.constantFrom(['a*'], ['b:1', 'a:2']), { nil: undefined }),
    })
    const request = fc.record({
      action: fc.constantFrom(...actions) as fc.Arbitrary<PolicyAction>,
      peer: fc.constantFrom(US, THEM, OTHER),
      model: fc.option(fc.constantFrom('a:1', 'a:2', 'b:1'), { nil: undefined }),
    })
    fc.assert(
      fc.property(fc.array(ruleOf, { maxLength: 6 }), request, (rules, asked) => {
        const made = rules.map(({ effect, actions: of, ...rest }, index) => ({
          name: `r${index}`,
          [effect]: of,
          ...rest,
        }))
        const decided = ask(policy({ rules: made }), asked)
        expect(ask(policy({ rules: made }), asked)).toEqual(decided)
        // Without the rule that allowed it, or with a deny for all: denied.
        const denied = [...made, { name: 'stop', deny: [asked.action] }]
        expect(ask(policy({ rules: denied }), asked).allow).toBe(false)
        expect(ask(policy({ rules: made.filter((each) => !('allow' in each)) }), asked).allow).toBe(false)
        // What is possible is never less than what is.
        if (decided.allow) expect(decide(policy({ rules: made }), asked, MONDAY, 'possible').allow).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a policy file with a mistake', () => {
  function problems(text: string): readonly PolicyProblem[] {
    try {
      readPolicy(text, 'policy.json')
      return []
    } catch (error) {
      expect((error as { code?: string }).code).toBe('WEFT-TRU-070')
      return (error as { details: { problems: PolicyProblem[] } }).details.problems
    }
  }

  const whole = (rules: string, rest = ''): string => `{\n  "schema": "weft.policy/1",${rest}\n  "rules": [${rules}]\n}`

  test.each<[string, string, number, number, RegExp]>([
    [
      'a key with a typo',
      whole('{ "name": "x", "alow": ["compute"] }'),
      3,
      28,
      /no "alow" here; did you mean "allow"\?/,
    ],
    ['an action with a typo', whole('{ "name": "x", "allow": ["computes"] }'), 3, 38, /did you mean "compute"\?/],
    [
      'a role with a typo',
      whole('{ "name": "x", "allow": ["fetch"], "roles": ["memebr"] }'),
      3,
      58,
      /"admin", "member", .*; did you mean "member"\?/,
    ],
    [
      'a key of the top with a dash',
      whole('', '\n  "max-age": "1h",'),
      3,
      3,
      /no "max-age" here; did you mean "max_age"\?/,
    ],
    ['a time of no unit', whole('', '\n  "max_age": "3600",'), 3, 14, /max_age: expected a time from "30s"/],
    [
      'a time that heart-beats cannot keep',
      whole('', '\n  "max_age": "29s",'),
      3,
      14,
      /max_age: expected a time from "30s"/,
    ],
    ['a key of the top', whole('', '\n  "ruels": [],'), 3, 3, /no "ruels" here; did you mean "rules"\?/],
    [
      'a group that is not there',
      whole('{ "name": "x", "allow": ["fetch"], "peers": ["@ourz"] }', ' "groups": {"ours": []},'),
      3,
      58,
      /no group "@ourz"; did you mean "ours"\?/,
    ],
    [
      'a peer that is none',
      whole('{ "name": "x", "allow": ["fetch"], "peers": ["bob"] }'),
      3,
      58,
      /PeerId or "@group"/,
    ],
    [
      'two rules of a name',
      whole('{ "name": "x", "allow": ["fetch"] }, { "name": "x", "allow": ["fetch"] }'),
      3,
      60,
      /two rules are named "x"/,
    ],
    [
      'allow and deny',
      whole('{ "name": "x", "allow": ["fetch"], "deny": ["fetch"] }'),
      3,
      13,
      /either "allow" or "deny"/,
    ],
    ['neither', whole('{ "name": "x" }'), 3, 13, /either "allow" or "deny"/],
    [
      'an hour that is none',
      whole('{ "name": "x", "allow": ["fetch"], "hours": { "from": "8", "to": "18:00" } }'),
      3,
      67,
      /time of day/,
    ],
    [
      'a zone that is none',
      whole('{ "name": "x", "allow": ["fetch"], "hours": { "from": "08:00", "to": "18:00", "zone": "Mars" } }'),
      3,
      99,
      /time zone/,
    ],
    ['a version that is not known', '{ "schema": "weft.policy/9", "rules": [] }', 1, 13, /"weft.policy\/1"/],
    [
      'egress of an unknown kind',
      whole('', ' "egress": {"activation": "nothing"},'),
      2,
      41,
      /did you mean "activations"\?/,
    ],
    ['a missing comma', '{\n  "schema": "weft.policy/1"\n  "rules": []\n}', 3, 3, /expected "," or "}"/],
    ['a comma too many', '{\n  "schema": "weft.policy/1",\n  "rules": [],\n}', 4, 1, /comma/],
    ['a key twice', '{"schema": "weft.policy/1", "rules": [], "rules": []}', 1, 42, /"rules" stands here twice/],
    ['a comment', '{\n// mine\n"schema": 1}', 2, 1, /name in double quotes/],
    ['nothing at all', '', 1, 1, /ends too early/],
    ['depth without end', '['.repeat(100), 1, 18, /16 levels/],
    [
      'a condition that an action knows nothing of',
      whole('{ "name": "x", "allow": ["compute", "connect"], "models": ["a"] }'),
      3,
      61,
      /"connect" knows nothing of "models"/,
    ],
    [
      'a budget that denies',
      whole('{ "name": "x", "deny": ["train"], "budget": { "epsilon": 1 } }'),
      3,
      13,
      /belong to a rule that allows/,
    ],
  ])('%s: told with line, column and what was meant', (_, text, line, column, message) => {
    const [first] = problems(text)
    expect(first?.message).toMatch(message)
    expect([first?.line, first?.column]).toEqual([line, column])
  })

  test('tells all mistakes at once', () => {
    expect(problems(whole('{ "name": "X", "allow": [] }, { "nme": "y", "allow": ["fetch"] }')).length).toBeGreaterThan(
      2,
    )
  })

  test('tells of names that do not fit beside what has another form', () => {
    const said = problems(
      whole(
        '{ "name": "x", "alow": ["fetch"] }, { "name": "x", "allow": ["connect"], "models": ["a"], "peers": ["@all", "12D3"] }',
      ),
    ).map(({ message }) => message)
    for (const part of [
      '"alow"',
      'two rules are named "x"',
      'knows nothing of "models"',
      '"@all"',
      'a PeerId or "@group"',
    ])
      expect(said.filter((message) => message.includes(part))).toHaveLength(1)
  })

  test('any change of a byte gives a policy or a coded error, never another one', () => {
    const text = whole(
      '{ "name": "x", "allow": ["fetch"], "models": ["a*"], "hours": { "from": "08:00", "to": "18:00" } }',
    )
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.nat(127), (at, code) => {
        problems(text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1))
      }),
      { numRuns: 500 },
    )
  })
})

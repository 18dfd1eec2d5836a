/** What people type, read as it is meant. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCommandLine, wantsJson } from '../../src/cli/parse.ts'
import { findPeer } from '../../src/cli/find-peer.ts'
import { editDistance, foldSeed, nearest } from '../../src/util/index.ts'
import { printable, table, width, wrap } from '../../src/cli/text.ts'
import { hostName, httpAddress, origin } from '../../src/cli/up-options.ts'
import { parseDuration, parseList, parseSize } from '../../src/cli/values.ts'
import { quoteUnitValue } from '../../src/cli/systemd.ts'
import { formatBytes, formatMs, formatSpan } from '../../src/cli/format.ts'
import { linesOf } from '../../src/cli/lines.ts'
import { resolveHomePath, socketPath } from '../../src/util/index.ts'

const values = (...argv: string[]): Record<string, unknown> => Object.fromEntries(parseCommandLine(argv).values)

describe('the command line', () => {
  test.each([
    ['run', 'm', 'hello'],
    ['infer', 'm.onnx'],
    ['split', 'm'],
    ['plan', 'm'],
    ['import', 'm.gguf'],
    ['train', 'plan.json'],
    ['vectors', 'frame'],
  ])('%s also works alone, when it is told so', (...words) => {
    expect(parseCommandLine([...words, '--local']).values.get('local')).toBe(true)
  })

  test('options stand before, between and after arguments, with a blank or an equals sign', () => {
    const { command } = parseCommandLine(['--home', '/h', 'run', '--seed=7', 'm', '--raw', 'text', '-n', '3'])
    expect(command?.spec.verb).toBe('run')
    expect(command?.positional).toEqual(['m', 'text'])
    expect(Object.fromEntries(command?.values ?? [])).toEqual({ home: '/h', seed: 7, raw: true, 'max-tokens': 3 })
  })

  test('names from other tools stand for ours', () => {
    const { command } = parseCommandLine(['invite', 'create', '--ttl', '1h', '--bind-peer', 'P', '--file=x.invite'])
    expect(Object.fromEntries(command?.values ?? [])).toEqual({ expires: 3_600_000, peer: 'P', out: 'x.invite' })
    expect(() => parseCommandLine(['invite', 'create', '--ttl', '1h', '--expires', '2h'])).toThrow('given twice')
    expect(() => parseCommandLine(['run', 'm', '--ttl', '1h'])).toThrow('does not take --ttl')
  })

  test('after two dashes everything is an argument', () => {
    expect(parseCommandLine(['run', 'm', '--', '--raw']).command?.positional).toEqual(['m', '--raw'])
    expect(wantsJson(['run', 'm', '--', '--json'])).toBe(false)
  })

  test('a text may begin with dashes, a number with one', () => {
    expect(values('run', 'm', 'x', '--stop', '--', '--stop', '---')).toEqual({ stop: ['--', '---'] })
    expect(() => values('run', 'm', 'x', '--temperature', '-1')).toThrow('at least 0')
    expect(() => values('run', 'm', 'x', '--system', '--json')).toThrow('needs a value')
  })

  test('seeds are of 64 bits, also below zero, and the same as those of the API', () => {
    const seedOf = (text: string): unknown => values('run', 'm', 'x', '--seed', text)['seed']
    expect(['0', '7', '-1', '-9223372036854775808', '9007199254740992'].map(seedOf)).toEqual([
      0,
      7,
      Number.MAX_SAFE_INTEGER,
      0,
      0,
    ])
    expect(['-1', '12', '9223372036854775807'].map(seedOf)).toEqual([-1, 12, 2 ** 63].map(foldSeed))
    for (const text of ['1.5', '', 'x', '-', '1e3', '9223372036854777856', '99999999999999999999'])
      expect(() => seedOf(text), text).toThrow('a whole number of 64 bits')
  })

  test('a lone dash is an argument', () => {
    expect(parseCommandLine(['run', 'm', '-']).command?.positional).toEqual(['m', '-'])
  })

  test('never throws anything but a coded usage error, whatever is typed', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('run', 'up', '--', '-', '--json', '--ids', '-n', '--home', '=', '--x=1'),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (argv) => {
        try {
          parseCommandLine(argv)
        } catch (error) {
          expect((error as { code: string }).code).toMatch(/^WEFT-CLI-00[1-4]$/)
        }
      }),
    )
  })
})

describe('values', () => {
  test('durations, sizes and lists', () => {
    expect(['30s', '5m', '1h', '250ms', '2', '1.5s', '1d'].map(parseDuration)).toEqual([
      30_000, 300_000, 3_600_000, 250, 2000, 1500, 86_400_000,
    ])
    expect(['5 minutes', '', '-1s', '1e3'].map(parseDuration)).toEqual([undefined, undefined, undefined, undefined])
    expect(['2GB', '512MiB', '1.5 gib', '100', '1kB'].map(parseSize)).toEqual([2e9, 2 ** 29, 1.5 * 2 ** 30, 100, 1000])
    expect(['2G', 'x', '-1GB', '99999999TiB'].map(parseSize)).toEqual([undefined, undefined, undefined, undefined])
    expect([parseList('1,2, 3'), parseList('1 2'), parseList(''), parseList('1,-2')]).toEqual([
      [1, 2, 3],
      [1, 2],
      undefined,
      undefined,
    ])
  })

  test('HTTP addresses', () => {
    expect(httpAddress('off')).toBeNull()
    expect(httpAddress('8080')).toEqual({ host: '127.0.0.1', port: 8080 })
    expect(httpAddress('[::1]:80')).toEqual({ host: '::1', port: 80 })
    expect(httpAddress('0.0.0.0:0')).toEqual({ host: '0.0.0.0', port: 0 })
    for (const wrong of ['', ':', 'a:b', '::1:80', '1.2.3.4:65536', 'host'])
      expect(() => httpAddress(wrong)).toThrow('HOST:PORT')
  })

  test('what is printed can be read again', () => {
    expect([formatBytes(0), formatBytes(1536), formatBytes(5 * 2 ** 30)]).toEqual(['0 B', '1.5 KiB', '5.0 GiB'])
    expect([formatSpan(12_000), formatSpan(185_000), formatSpan(8_040_000)]).toEqual(['12s', '3m05s', '2h14m'])
    expect([formatMs(0.4), formatMs(null), formatMs(1234)]).toEqual(['0.40 ms', '-', '1.23 s'])
  })
})

describe('did you mean', () => {
  test('slips are found, other words are not', () => {
    expect(nearest('stauts', ['start', 'status'])).toBe('status')
    expect(nearest('capab', ['capabilities'])).toBe('capabilities')
    expect(nearest('xyzzy', ['up', 'down', 'status'])).toBeUndefined()
  })

  test('the distance is symmetric, zero for equals, and bounded by the longer word', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (left, right) => {
        const distance = editDistance(left, right)
        expect(distance).toBe(editDistance(right, left))
        expect(distance === 0).toBe(left === right)
        expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length))
      }),
    )
  })
})

describe('text', () => {
  test('what strangers sent cannot move a terminal', () => {
    expect(printable('a\u001B[2Jb\nc\u202Ed')).toBe('a·[2Jb·c·d')
    expect(printable('a\u001B[2Jb\nc\td', true)).toBe('a[2Jb\nc\td')
  })

  test('columns are counted as a terminal shows them', () => {
    expect([width('abc'), width('\u001B[1mabc\u001B[22m'), width('网'), width('e\u0301')]).toEqual([3, 3, 2, 1])
    expect(
      table(
        [{ head: 'A' }, { head: 'N', right: true }],
        [
          ['网', '1'],
          ['abc', '10'],
        ],
      ),
    ).toEqual(['A     N', '网    1', 'abc  10'])
  })

  test('wrapping keeps every word and the width', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1 }), (words) => {
        const lines = wrap(words.join(' '), 20, '  ')
        expect(lines.every((line) => line.length <= 20)).toBe(true)
        expect(lines.map((line) => line.trim()).join(' ')).toBe(words.join(' '))
      }),
    )
  })

  test('lines survive any cutting of their bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 5 }), async (text, size) => {
        const bytes = Buffer.from(text)
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        )
        const lines: string[] = []
        // oxlint-disable-next-line typescript/await-thenable -- any iterable of chunks will do
        for await (const line of linesOf(chunks as unknown as AsyncIterable<Uint8Array>, 1e6)) lines.push(line)
        const expected = text
          .toWellFormed()
          .split('\n')
          .map((line, index, all) => (index < all.length - 1 ? line.replace(/\r$/, '') : line))
        expect(lines).toEqual(expected.at(-1) === '' ? expected.slice(0, -1) : expected)
      }),
    )
  })
})

describe('the home', () => {
  test('comes from the flag, then WEFT_HOME, then XDG, then the folder of the user', () => {
    const env = { HOME: '/u', WEFT_HOME: '/w', XDG_DATA_HOME: '/x' }
    expect(resolveHomePath('/f', env)).toBe('/f')
    expect(resolveHomePath(undefined, env)).toBe('/w')
    expect(resolveHomePath(undefined, { ...env, WEFT_HOME: '' })).toBe('/x/weft')
    expect(resolveHomePath(undefined, { HOME: '/u', XDG_DATA_HOME: 'relative' })).toBe('/u/.local/share/weft')
  })

  test('a socket whose path would be too long goes elsewhere, under a name of its own', () => {
    expect(socketPath('/h', {})).toBe('/h/weft.sock')
    const [one, two] = ['a', 'b'].map((end) =>
      socketPath(`/${'long/'.repeat(30)}${end}`, { XDG_RUNTIME_DIR: '/run/user/1' }),
    )
    expect(one).toMatch(/^\/run\/user\/1\/weft-[0-9a-f]{12}\.sock$/)
    expect(one).not.toBe(two)
  })

  test('paths in a systemd unit mean themselves', () => {
    expect(quoteUnitValue('/a b/50%/$x"\\')).toBe('"/a b/50%%/$$x\\"\\\\"')
  })
})

describe('findPeer', () => {
  const anna = { id: '12D3KooWAnnaAAAA', name: 'anna' }
  const bert = { id: '12D3KooWBertBBBB', name: 'bert' }

  test('takes an id, a name or a part that fits one peer, in however many lists it stands', () => {
    const seen = { id: anna.id, name: '' }
    for (const wanted of [anna.id, 'anna', 'AnnaAAAA', '12D3…AAAA'])
      expect(findPeer([anna, bert, seen], wanted).id).toBe(anna.id)
    expect(findPeer([anna, seen], 'anna')).toBe(anna)
  })

  test('refuses what fits two peers or none', () => {
    for (const wanted of ['12D3KooW', 'carl', 'AAA']) expect(() => findPeer([anna, bert], wanted)).toThrow(/peer/)
  })
})

describe('who may call the API', () => {
  test('names of hosts, with or without a port', () => {
    for (const name of ['weft.example', 'weft', 'weft.example:8443', '192.0.2.7', '[2001:db8::7]', '[2001:db8::7]:80'])
      expect(hostName(name)).toBe(name)
  })

  test.each([
    '',
    '*',
    '*.example',
    'https://weft.example',
    'weft.example/',
    'a b',
    'weft:99999',
    '[xyz]',
    '[::::]',
    'a@b',
  ])('refuses %j as a host', (text) => expect(() => hostName(text)).toThrow(/--http-host takes a host name/))

  test('origins as browsers send them', () => {
    for (const one of ['https://chat.example', 'http://localhost:3000', 'https://[2001:db8::7]:8443'])
      expect(origin(one)).toBe(one)
  })

  test.each([
    ['https://chat.example/', 'did you mean https://chat.example?'],
    ['https://chat.example:443', 'did you mean https://chat.example?'],
    ['https://user@chat.example/app', 'did you mean https://chat.example?'],
    ['HTTPS://Chat.Example', 'did you mean https://chat.example?'],
    ['*', 'there is no wildcard'],
    ['https://*.example', 'there is no wildcard'],
    ['chat.example', 'for example https://chat.example'],
    ['null', 'for example'],
    ['file:///tmp/a.html', 'for example'],
    ['', 'for example'],
  ])('refuses %j as an origin and says what was meant', (text, hint) => {
    const refused = expect.objectContaining({ code: 'WEFT-CLI-004', hint: expect.stringContaining(hint) as unknown })
    expect(() => origin(text)).toThrow(refused as Error)
  })
})

test('an option of another action is refused, where it would be passed over', () => {
  const said =
    (...args: string[]): (() => unknown) =>
    () =>
      parseCommandLine(['fed', ...args])
  expect(said('create', 'plan.json', '--hash', 'ab')).toThrow(
    '--hash is an option of weft fed join, approve, and not of create',
  )
  expect(said('join', 'heart', '--hash', 'ab')).not.toThrow()
})

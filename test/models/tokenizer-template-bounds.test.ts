import { describe, expect, it } from 'vitest'
import { ChatTemplateError, createTokenizer } from '../../src/models/index.ts'
import { ownDefinition } from './support/tokenizers.ts'

/** Sets `ns.s` to a text of 16 * 2^times characters. */
const long = (times: number): string =>
  `{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(${times}) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`
const always = (body: string): string => `{% for i in range(50000) %}${body}{% endfor %}`

const HOSTILE: readonly (readonly [string, string])[] = [
  ['an endless range', '{% for i in range(1000000000) %}x{% endfor %}'],
  ['a range that does not move', '{{ range(0, 10, 0) }}'],
  ['a range of no numbers', "{{ range('a', none) }}"],
  ['loops in loops', always(always(''))],
  ['loops in loops that write', always(always('{{ i }}'))],
  ['a text that doubles', `${long(60)}{{ ns.s }}`],
  [
    'a list that doubles',
    '{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}',
  ],
  [
    'lists in lists',
    '{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}',
  ],
  ['a macro that calls itself', '{% macro f(n) %}{{ f(n) if f is defined }}{{ f }}{% endmacro %}{{ f(f) }}'],
  [
    'a macro that calls itself twice',
    '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}',
  ],
  ['an indent without end', `${long(3)}{{ ns.s | indent(1000000000, first=true) }}`],
  ['an indent by name', "{{ 'a' | indent(width=1000000000, first=true) }}"],
  ['an indent of JSON', '{{ [1] | tojson(indent=1000000000) }}'],
  ['a filter that multiplies', `${long(13)}{{ ns.s | replace('a', ns.s) }}`],
  ['a method that multiplies', `${long(13)}{{ ns.s.replace('', ns.s) }}`],
  ['a method with unpacked arguments', `${long(13)}{{ ns.s.replace(*['a', ns.s]) }}`],
  ['a block that multiplies', `${long(13)}{% filter replace('a', ns.s) %}{{ ns.s }}{% endfilter %}`],
  ['a join that multiplies', `${long(13)}{{ range(50000) | join(ns.s) }}`],
  ['long texts changed for ever', long(13) + always('{% set x = ns.s | upper %}')],
  [
    'long texts compared for ever',
    `${long(13)}{% set a = ns.s + 'b' %}${always("{% if a == ns.s + 'c' %}{% endif %}")}`,
  ],
  ['long lists searched for ever', `{% set l = range(50000) %}${always('{% if -1 in l %}{% endif %}')}`],
  ['long lists sorted for ever', `{% set l = range(50000) %}${always('{% set x = l | sort(reverse=true) %}')}`],
  ['a text cut to letters', `${long(13)}{{ ns.s.split('a') }}`],
  ['a namespace that holds itself', '{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}'],
  ['a tower of brackets', `{{ ${'('.repeat(30_000)}1${')'.repeat(30_000)} }}`],
  ['a tower of conditions', '{% if true %}'.repeat(2500) + '{% endif %}'.repeat(2400)],
  ['too much of it', 'x'.repeat(70_000)],
  ['white space without end', ' '.repeat(60_000)],
  ['half a statement', '{% for x in'],
  ['a half string', "{{ 'abc"],
  ['a statement that is none', '{% frobnicate %}'],
  ['a filter that is none', "{{ 'a' | frobnicate }}"],
  ['the constructor of functions', "{{ ''.constructor.constructor('return process')() }}"],
  ['the constructor of a message', '{{ messages[0].constructor.constructor() }}'],
  ['a function that is not there', '{{ process.exit() }}'],
]

describe('a chat template', () => {
  it.each(HOSTILE)('cannot hang, fill or leave the process: %s', (_name, source) => {
    const tokenizer = createTokenizer(ownDefinition({ chat_template: source }))
    const encode = (): unknown => tokenizer.encodeChat([{ role: 'user', content: 'hi' }])
    expect(encode).toThrow(ChatTemplateError)
    // The tokenizer is as good as before.
    expect(tokenizer.decode(tokenizer.encode('hi'))).toBe('hi')
  })

  it('has room for long conversations', () => {
    const source =
      "{% for m in messages %}{% if loop.index0 > 0 and messages[loop.index0 - 1].role == 'x' %}?{% endif %}" +
      "{% set rest = messages[loop.index0:] %}{{ m.role + ': ' + (m.content | trim) + '\\n' }}{% endfor %}"
    const tokenizer = createTokenizer(ownDefinition({ chat_template: source }))
    const messages = Array.from({ length: 400 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `message ${i} `.repeat(50),
    }))
    const { text } = tokenizer.encodeChat(messages)
    expect(text.split('\n')).toHaveLength(401)
  })

  it('may hold one very long message', () => {
    const tokenizer = createTokenizer(ownDefinition())
    const content = 'All work and no play. '.repeat(20_000)
    expect(tokenizer.encodeChat([{ role: 'user', content }]).text).toContain(content)
  })
})

/**
 * Writes the pages of docs/ that are data told in words: cli.md from the table of commands, errors.md from the tables of
 * all rooms. `--check` writes nothing and fails when a page is not what it would be.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { toJSONSchema } from 'zod'
import { COMMANDS } from '../src/cli/commands-table.ts'
import { allErrorInfos } from '../src/cli/error-tables.ts'
import { GLOBAL_OPTIONS } from '../src/cli/options.ts'
import { usage } from '../src/cli/parse.ts'
import { policySchema } from '../src/trust/index.ts'

const MADE = '<!-- made by `npm run docs` from the sources: change those, not this page -->'
const GROUPS = [
  ['everyday', 'Everyday'],
  ['models', 'Models'],
  ['peers', 'Peers and keys'],
  ['cluster', 'Private clusters'],
  ['diagnose', 'Diagnose'],
  ['self', 'Weft itself'],
]
const AREAS = {
  CLI: 'The command line',
  CFG: 'Home and settings',
  NET: 'The network',
  DSC: 'Finding and joining',
  TRU: 'Keys, identities and membership',
  MOD: 'Models',
  STO: 'The store',
  DAT: 'Data in files',
  PLN: 'Placement',
  INF: 'Inference',
  FED: 'Federated training',
  API: 'The HTTP API',
  INT: 'Unforeseen',
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ')

function optionTable(options) {
  const rows = options.map((option) => {
    const short = option.short === undefined ? '' : `-${option.short}, `
    const value = option.value === undefined ? '' : ` ${option.value.label}`
    const again = option.repeat === true ? '; may be repeated' : ''
    return `| \`${`${short}--${option.name}${value}`.replaceAll('|', '\\|')}\` | ${cell(option.help + again)} |`
  })
  return ['| option | |', '| --- | --- |', ...rows, '']
}

function commandSection(spec) {
  return [
    `### weft ${spec.verb}`,
    '',
    `${spec.summary[0].toUpperCase()}${spec.summary.slice(1)}.`,
    '',
    '```text',
    `${usage(spec)}${spec.options.length > 0 ? ' [OPTIONS]' : ''}`,
    '```',
    '',
    ...(spec.notes ?? []).flatMap((note) => [note, '']),
    ...(spec.options.length === 0 ? [] : optionTable(spec.options)),
    ...(spec.examples === undefined ? [] : ['```text', ...spec.examples, '```', '']),
  ]
}

function cliPage() {
  const shown = COMMANDS.filter((spec) => spec.hidden !== true)
  return [
    MADE,
    '',
    '# The command line',
    '',
    'A command talks to the running peer of the same mesh home over its socket. `run`, `chat`, `import`, `split` and some',
    'others also work alone, with no peer running, or with `--local`. Data goes to stdout, everything else to stderr.',
    '',
    'Exit status: 0 ok, 1 unexpected, 2 usage, 3 not running, 4 not found, 5 denied, 6 no placement or no resources,',
    '7 unreachable, 8 integrity, 9 timed out, 10 partial success, 130 and 143 signals. [errors.md](errors.md) explains each',
    'code.',
    '',
    '## Options of every command',
    '',
    ...optionTable(GLOBAL_OPTIONS),
    ...GROUPS.flatMap(([group, title]) => [
      `## ${title}`,
      '',
      ...shown.filter((spec) => spec.group === group).flatMap(commandSection),
    ]),
  ]
}

async function errorsPage() {
  const infos = await allErrorInfos()
  const facts = (info) =>
    `Exit status ${info.exit}, HTTP ${info.http}${info.retryable === true ? '; the same request may succeed later or elsewhere' : ''}.`
  return [
    MADE,
    '',
    '# Errors',
    '',
    'Every error of weft has a code that never changes its meaning. `weft help errors CODE` prints what stands here.',
    '',
    ...Object.entries(AREAS).flatMap(([area, title]) => {
      const of = infos.filter((info) => info.code.startsWith(`WEFT-${area}-`))
      const sections = of.flatMap((info) => [
        `### ${info.code}: ${cell(info.title)}`,
        '',
        `${cell(info.meaning)} ${facts(info)}`,
        '',
        `What to do: ${cell(info.remedy)}`,
        '',
      ])
      return of.length === 0 ? [] : [`## ${title}`, '', ...sections]
    }),
  ]
}

const schema = { title: 'The policy of a site (weft)', ...toJSONSchema(policySchema, { io: 'input' }) }
const pages = {
  'cli.md': cliPage(),
  'errors.md': await errorsPage(),
  'policy.schema.json': JSON.stringify(schema, null, 2).split('\n'),
}
const stale = []
for (const [name, lines] of Object.entries(pages)) {
  const path = fileURLToPath(new URL(`../docs/${name}`, import.meta.url))
  const text = `${lines.join('\n').trimEnd()}\n`
  if (process.argv.includes('--check')) {
    let now = ''
    try {
      now = readFileSync(path, 'utf8')
    } catch {
      // Not there is not current.
    }
    if (now !== text) stale.push(`docs/${name}`)
  } else {
    writeFileSync(path, text)
  }
}
if (stale.length > 0) {
  process.stderr.write(`not what the sources say: ${stale.join(', ')}; run npm run docs\n`)
  process.exitCode = 1
}

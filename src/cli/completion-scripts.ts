/** Completion scripts, generated from the table. Models and peers are asked for when they are completed. */
import { COMMANDS } from './commands-table.ts'
import { bashScript } from './completion-bash.ts'
import type { ArgumentSpec, CommandSpec, OptionSpec } from './option-types.ts'
import { GLOBAL_OPTIONS } from './options.ts'

export type Shell = 'bash' | 'zsh' | 'fish'

const VERBS: readonly CommandSpec[] = COMMANDS.filter((spec) => spec.hidden !== true)

export function completionScript(shell: Shell): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell]()
}

function optionsOf(spec: CommandSpec): readonly OptionSpec[] {
  return [...spec.options, ...GLOBAL_OPTIONS]
}

/** Single quotes, in the way of all three shells; `'` itself is left out of every help text that is quoted. */
function quote(text: string): string {
  return `'${text.replaceAll("'", '’')}'`
}

function wordsOf(specs: readonly ArgumentSpec[]): string {
  return specs
    .map((argument) => dynamicWords(argument))
    .join(' ')
    .trim()
}

function dynamicWords(argument: ArgumentSpec): string {
  const words = argument.choices ?? argument.words
  if (words !== undefined) return words.join(' ')
  if (argument.offers === 'models' || argument.offers === 'peers')
    return `$(weft complete ${argument.offers} 2>/dev/null)`
  if (argument.offers === 'verbs') return ['errors', ...VERBS.map((spec) => spec.verb)].join(' ')
  return argument.label === 'CODE' ? '$(weft complete codes 2>/dev/null)' : ''
}

function zshScript(): string {
  const cases = VERBS.map((spec) => {
    const options = optionsOf(spec).map((option) => {
      const value =
        option.value === undefined
          ? ''
          : `:${option.value.label.toLowerCase().replaceAll(':', ' ')}:${zshValue(option)}`
      const again = option.repeat === true ? '*' : ''
      return `        ${quote(`${again}--${option.name}[${option.help.replace(/[[\]:]/g, ' ')}]${value}`)}`
    })
    const positional = spec.arguments.map((argument) => {
      const words = dynamicWords(argument)
      const action = words === '' ? '_files' : words.startsWith('$') ? `{compadd -- ${words}}` : `(${words})`
      return `        ${quote(`:${argument.label.toLowerCase()}:${action}`)}`
    })
    return `      ${spec.verb})\n        _arguments \\\n${[...options, ...positional].join(' \\\n')}\n        ;;`
  })
  return `#compdef weft
# zsh completion for weft; write it to a folder of $fpath as _weft
_weft() {
  local line state
  _arguments -C '1: :->verb' '*::arg:->args'
  case $state in
    verb)
      local -a verbs
      verbs=(
${VERBS.map((spec) => `        ${quote(`${spec.verb}:${spec.summary}`)}`).join('\n')}
      )
      _describe 'command' verbs
      ;;
    args)
      case $line[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}
if [ "$funcstack[1]" = "_weft" ]; then _weft "$@"; else compdef _weft weft; fi
`
}

function zshValue(option: OptionSpec): string {
  if (option.value?.choices !== undefined) return `(${option.value.choices.join(' ')})`
  return option.value?.kind === 'file' ? '_files' : ' '
}

function fishScript(): string {
  const lines = ['# fish completion for weft; write it to ~/.config/fish/completions/weft.fish', 'complete -c weft -f']
  for (const spec of VERBS) {
    lines.push(`complete -c weft -n __fish_use_subcommand -a ${spec.verb} -d ${quote(spec.summary)}`)
    const seen = `__fish_seen_subcommand_from ${spec.verb}`
    for (const option of spec.options) lines.push(`complete -c weft -n ${quote(seen)} ${fishOption(option)}`)
    const words = wordsOf(spec.arguments).replace(/\$\((.*?) 2>\/dev\/null\)/g, '($1 2>/dev/null)')
    if (words !== '') lines.push(`complete -c weft -n ${quote(seen)} -a ${quote(words)}`)
    if (spec.arguments.some((argument) => argument.offers === 'files'))
      lines.push(`complete -c weft -n ${quote(seen)} -F`)
  }
  for (const option of GLOBAL_OPTIONS) lines.push(`complete -c weft ${fishOption(option)}`)
  return `${lines.join('\n')}\n`
}

function fishOption(option: OptionSpec): string {
  const parts = [
    `-l ${option.name}`,
    ...(option.short === undefined ? [] : [`-s ${option.short}`]),
    `-d ${quote(option.help)}`,
  ]
  if (option.value?.choices !== undefined) parts.push(`-x -a ${quote(option.value.choices.join(' '))}`)
  else if (option.value?.kind === 'file') parts.push('-r -F')
  else if (option.value !== undefined) parts.push('-x')
  return parts.join(' ')
}

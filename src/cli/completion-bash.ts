/**
 * The completion script of bash, which must also do for version 3.2 of macOS. What peers and models are called comes from
 * others, so no word of theirs is ever expanded: `compgen -W` would run what stands in `$(…)`.
 */
import { COMMANDS } from './commands-table.ts'
import type { ArgumentSpec, CommandSpec, OptionSpec } from './option-types.ts'
import { GLOBAL_OPTIONS } from './options.ts'

const VERBS: readonly CommandSpec[] = COMMANDS.filter((spec) => spec.hidden !== true)

export function bashScript(): string {
  const global = ['--version', ...GLOBAL_OPTIONS.map(({ name }) => `--${name}`)]
  return `# bash completion for weft; load it with: source <(weft completion bash)
_weft_verb() {
  case "$1" in
${VERBS.map(verbCase).join('\n')}
  esac
}
_weft_offer() {
  local word
  while IFS= read -r word; do
    [[ -n "$word" && "$word" == "$cur"* ]] && COMPREPLY[\${#COMPREPLY[@]}]="$word"
  done
}
_weft_ask() {
  _weft_offer < <("\${line[0]/#\\~/$HOME}" complete "$1" \${home[@]+"\${home[@]}"} 2>/dev/null)
}
_weft_words() {
  _weft_offer < <(printf '%s\\n' "$@")
}
_weft() {
  local cur prev verb="" opts="" takes="" piece i last at=0
  local -a line home
  line=() home=() COMPREPLY=()
  # Names of models hold a colon and options an equals sign, at which readline breaks words.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    piece="\${COMP_WORDS[i]}"
    last=$((\${#line[@]} - 1))
    if ((last > 0)) && [[ "$piece" == [:=] || ( "\${COMP_WORDS[i-1]}" == [:=] && "\${line[last]}" == *[:=] ) ]]; then
      line[last]+="$piece"
    else
      line[last+1]="$piece"
    fi
  done
  last=$((\${#line[@]} - 1))
  cur="\${line[last]}"
  prev="\${line[last-1]}"
  for ((i = 1; i < last; i++)); do
    piece="\${line[i]}"
    case "$piece" in
      --home) ((++i < last)) && home=(--home "\${line[i]/#\\~/$HOME}") ;;
      --home=*) home=(--home "\${piece#--home=}") ;;
      --*=*) ;;
      -*) [[ " $takes " == *" $piece "* ]] && ((++i)) ;;
      *) if [[ -z "$verb" ]]; then verb="$piece"; _weft_verb "$verb"; else ((++at)); fi ;;
    esac
  done
  if [[ "$cur" == --*=* ]]; then prev="\${cur%%=*}" cur="\${cur#*=}"; fi
  # Files are left to readline, which quotes them: nothing is offered where they are wanted.
  case "$verb $prev" in
${VERBS.flatMap(valueCases).join('\n')}
  esac
  if [[ "$prev" == --home || " $takes " == *" $prev "* ]]; then return; fi
  case "$verb $cur" in
    " "-*) _weft_words ${global.join(' ')} ;;
    " "*) _weft_words ${VERBS.map(({ verb }) => verb).join(' ')} ;;
    *" "-*) _weft_words $opts ;;
    *) case "$verb $at" in
${VERBS.flatMap(argumentCases).join('\n')}
    esac ;;
  esac
  if [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    local colon="\${cur%"\${cur##*:}"}"
    for i in "\${!COMPREPLY[@]}"; do COMPREPLY[i]="\${COMPREPLY[i]#"$colon"}"; done
  fi
}
complete -o default -F _weft weft
`
}

function verbCase(spec: CommandSpec): string {
  const options = [...spec.options, ...GLOBAL_OPTIONS]
  const spellings = ({ name, short }: OptionSpec): string[] => [
    `--${name}`,
    ...(short === undefined ? [] : [`-${short}`]),
  ]
  const takes = options.filter(({ value }) => value !== undefined).flatMap(spellings)
  return `    ${spec.verb})
      opts="${options.map(({ name }) => `--${name}`).join(' ')}"
      takes="${takes.join(' ')}"
      ;;`
}

/** Values of options that have choices; two verbs may have an option of one name with others. */
function valueCases({ verb, options }: CommandSpec): string[] {
  return options.flatMap(({ name, value }) =>
    value?.choices === undefined ? [] : [`    "${verb} --${name}") _weft_words ${value.choices.join(' ')}; return ;;`],
  )
}

function argumentCases({ verb, arguments: specs }: CommandSpec): string[] {
  return specs.flatMap((spec, at) => {
    const action = actionOf(spec)
    return action === '' ? [] : [`      "${verb} "${spec.rest === true ? '*' : at}) ${action} ;;`]
  })
}

function actionOf({ choices, label, offers, words }: ArgumentSpec): string {
  if (choices !== undefined) return `_weft_words ${choices.join(' ')}`
  if (words !== undefined) return `_weft_words ${words.join(' ')}`
  if (offers === 'models' || offers === 'peers') return `_weft_ask ${offers}`
  if (offers === 'verbs') return `_weft_words errors ${VERBS.map(({ verb }) => verb).join(' ')}`
  return label === 'CODE' ? '_weft_ask codes' : ''
}

/** Why a graph cannot be differentiated. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import type { Dimension } from '../../onnx/index.ts'
import { shown, shownList } from '../../onnx/index.ts'

/** Where a node stands, as a reader finds it again. */
export interface Place {
  readonly opType: string
  readonly domain: string
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export function placeOf({ opType, domain, name, outputs }: Place): string {
  const operator = domain === '' ? opType : `${domain}.${opType}`
  const made = outputs.find((output) => output !== '') ?? ''
  return name === '' ? `${shown(operator)} that makes ${shown(made)}` : `${shown(operator)}, node ${shown(name)}`
}

/** An operator between the loss and what is trained that no rule knows, or not in this form. */
export class NoGradientRuleError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-140',
    title: 'Operator without a gradient',
    meaning: 'The loss depends on what is trained through an operator that weft cannot differentiate.',
    remedy: 'docs/training.md lists the operators that have rules. Freeze what is before it, or export it otherwise.',
    exit: EXIT.integrity,
    http: 422,
  }
  constructor(node: Place, why: string) {
    super(NoGradientRuleError.info, `there is no gradient of ${placeOf(node)}`, {
      why,
      details: { operator: node.opType, domain: node.domain, node: node.name, outputs: node.outputs.slice(0, 8) },
    })
  }
}

export class UnknownLossError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-141',
    title: 'Unknown loss',
    meaning: 'The graph has no value of the name that was given as its loss.',
    remedy: 'Name an output of the graph.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(loss: string, outputs: readonly string[]) {
    super(UnknownLossError.info, `the graph has no value ${shown(loss)}`, {
      why: outputs.length === 0 ? 'it has no outputs' : `its outputs are ${shownList(outputs)}`,
      details: { loss },
    })
  }
}

export class LossNotScalarError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-142',
    title: 'Loss is no scalar',
    meaning: 'A loss is one number; this value has more elements than one, or none.',
    remedy: 'Reduce it first, with ReduceMean or ReduceSum for example.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(loss: string, shape: readonly Dimension[]) {
    const text = shape.map((size) => size ?? '?').join(', ')
    super(LossNotScalarError.info, `the loss ${shown(loss)} has the shape ${shown(`[${text}]`)}`, {
      details: { loss, shape },
    })
  }
}

export class LossNotFloatError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-143',
    title: 'Loss is no floating-point number',
    meaning: 'Only what is made of floating-point numbers has a gradient.',
    remedy: 'Name an output of type float32, float64 or float16.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(loss: string, type: string) {
    super(LossNotFloatError.info, `the loss ${shown(loss)} is of type ${shown(type)}`, { details: { loss, type } })
  }
}

export class LossIsConstantError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-144',
    title: 'Loss depends on nothing',
    meaning: 'No way leads from what is to be trained to the loss along which a gradient could flow.',
    remedy: 'Check the name of the loss, and that its parameters are initializers or inputs of floating point.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(loss: string) {
    super(LossIsConstantError.info, `the loss ${shown(loss)} does not depend on anything that can be trained`, {
      details: { loss },
    })
  }
}

export class UnknownParameterError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-145',
    title: 'No such parameter',
    meaning: 'Gradients can be had for initializers and inputs of the graph that are of floating point.',
    remedy: 'Name initializers or inputs of type float32, float64 or float16.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(name: string, why: string) {
    super(UnknownParameterError.info, `there is no gradient with respect to ${shown(name)}`, { why, details: { name } })
  }
}

/** `why` says where it stands. */
export class NotDifferentiableModelError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-146',
    title: 'Model of a form that is not trained',
    meaning: 'The model uses an operator set that is too old, or more steps than weft writes out.',
    remedy: 'Export it again with opset 17 or newer, or with a shorter sequence.',
    exit: EXIT.integrity,
    http: 422,
  }
  constructor(why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(NotDifferentiableModelError.info, 'this model cannot be made ready for training', { why, details })
  }
}

export class MemoryBudgetError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-147',
    title: 'Memory budget too small',
    meaning: 'Even when everything is computed again in the backward pass, the activations need more memory.',
    remedy: 'Give a larger budget, or a smaller batch.',
    exit: EXIT.noResources,
    http: 507,
  }
  readonly needed: number
  constructor(budget: number, needed: number) {
    super(MemoryBudgetError.info, `the activations need ${needed} bytes, and the budget is ${budget}`, {
      details: { budget, needed },
    })
    this.needed = needed
  }
}

/** `wants` says what the graph takes. */
export class FeedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-148',
    title: 'Inputs do not fit the graph',
    meaning: 'An input of the graph is missing, or has another type or shape than the graph takes.',
    remedy: 'Give each input under its name, with its type and shape; a named dimension is free.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(name: string, why: string, wants: string) {
    super(FeedError.info, `the input ${shown(name)} ${why}`, { why: `the graph takes ${wants}`, details: { name } })
  }
}

export const AUTODIFF_ERRORS: readonly ErrorInfo[] = [
  NoGradientRuleError.info,
  UnknownLossError.info,
  LossNotScalarError.info,
  LossNotFloatError.info,
  LossIsConstantError.info,
  UnknownParameterError.info,
  NotDifferentiableModelError.info,
  MemoryBudgetError.info,
  FeedError.info,
]

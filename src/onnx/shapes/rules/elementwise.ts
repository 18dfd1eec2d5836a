/** Operators whose output has the shape of an input, or that of all inputs stretched to each other. */
import type { DataType } from '../../ir/index.ts'
import { broadcastShapes, tensor } from '../call.ts'
import type { Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { dataTypeOf } from './types.ts'

const sameAsFirst: Rule = (call) => [call.value(0)]

function shapedAsFirst(type: DataType): Rule {
  return (call) => [tensor(type, call.shape(0))]
}

/** Inputs by number; all of them by default. */
function stretched(type?: DataType, inputs?: readonly number[]): Rule {
  return (call) => {
    const from = inputs ?? call.node.inputs.map((_, input) => input)
    const types = from.map((input) => call.type(input))
    const shapes = from.map((input) => call.shape(input))
    return [tensor(type ?? types.find((known) => known !== undefined), broadcastShapes(call.algebra, shapes))]
  }
}

const where: Rule = (call) => [
  tensor(call.type(1) ?? call.type(2), broadcastShapes(call.algebra, [call.shape(0), call.shape(1), call.shape(2)])),
]

const cast: Rule = (call) => [tensor(dataTypeOf(call.int('to')), call.shape(0))]
const castLike: Rule = (call) => [tensor(call.type(1), call.shape(0))]

/** The mask is of bool since opset 10 (and of the data's type before); opset 7 and older may train. */
const dropout: Rule = (call) => [
  call.value(0),
  tensor(call.version === 0 || call.version >= 10 ? 'bool' : call.type(0), call.shape(0)),
]

/** Random numbers and samples in the shape of an input, of its type or of one that is named. */
const like: Rule = (call) => {
  const named = dataTypeOf(call.int('dtype'))
  return [tensor(named ?? (call.attribute('dtype') === undefined ? call.type(0) : undefined), call.shape(0))]
}

const biasSplit: Rule = (call) => {
  const shape = call.shape(0)
  const last = shape?.at(-1)
  if (shape === null || last === undefined) return [tensor(call.type(0), null)]
  return [tensor(call.type(0), [...shape.slice(0, -1), call.algebra.floorDivide(last, 2)])]
}

const quantizedWhere: Rule = (call) => {
  const shapes = [call.shape(0), call.shape(1), call.shape(4)]
  return [tensor(call.type(1), broadcastShapes(call.algebra, shapes))]
}

export const ELEMENTWISE: readonly Family[] = [
  {
    operators: `Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh CumProd CumSum Elu Erf Exp Floor
      Gelu HardSigmoid HardSwish Hardmax Identity LRN LeakyRelu Log LogSoftmax LpNormalization
      MeanVarianceNormalization Mish Neg Reciprocal Relu ReverseSequence Round Scatter ScatterElements ScatterND Selu
      Shrink Sigmoid Sign Sin Sinh SwiGLU Softmax Softplus Softsign Sqrt Swish Tan Tanh TensorScatter ThresholdedRelu Trilu
      Affine ParametricSoftplus ScaledTanh ImageScaler`,
    rule: sameAsFirst,
  },
  {
    domain: MICROSOFT,
    operators: `BiasAdd BiasGelu BiasSoftmax FastGelu Gelu Inverse NGramRepeatBlock QLinearLeakyRelu QLinearSigmoid
      QLinearSoftmax QuickGelu Trilu`,
    rule: sameAsFirst,
  },
  { operators: 'Not IsInf IsNaN', rule: shapedAsFirst('bool') },
  { domain: MICROSOFT, operators: 'IsNaN', rule: shapedAsFirst('bool') },
  { operators: 'RegexFullMatch', rule: shapedAsFirst('bool') },
  {
    operators: `Add BitShift BitwiseAnd BitwiseOr BitwiseXor Div Max Mean Min Mod Mul PRelu Pow Sub Sum StringConcat`,
    rule: stretched(),
  },
  { operators: 'And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual', rule: stretched('bool') },
  { domain: MICROSOFT, operators: 'QLinearAdd QLinearMul', rule: stretched(undefined, [0, 3]) },
  { domain: MICROSOFT, operators: 'QLinearWhere', rule: quantizedWhere },
  { operators: 'Where', rule: where },
  { operators: 'Cast', rule: cast },
  { operators: 'CastLike', rule: castLike },
  { operators: 'Dropout', rule: dropout },
  { operators: 'Bernoulli RandomNormalLike RandomUniformLike', rule: like },
  { domain: MICROSOFT, operators: 'BiasSplitGelu', rule: biasSplit },
]

/* moira.h -- all of Moira's public interface. */
#ifndef MOIRA_MOIRA_H
#define MOIRA_MOIRA_H

#include "moira/base.h"
#include "moira/tensor.h"
#include "moira/autograd.h"
#include "moira/ops.h"
#include "moira/optim.h"
#include "moira/model.h"
#include "moira/tokenizer.h"
#include "moira/tokenfile.h"
#include "moira/data.h"
#include "moira/checkpoint.h"
#include "moira/chat.h"
#include "moira/hf.h"
#include "moira/train.h"
#include "moira/bench.h"
#include "moira/pretrained.h"
#include "moira/upcycle.h"
#include "moira/routing.h"
#include "moira/config.h"
#include "moira/lab.h"

#endif

"""The price list: what each kernel operation costs by itself, found by running it alone."""

from pmsim.prices.catalogue import CATALOGUE, Priced, Sizes
from pmsim.prices.listing import PriceList, price_list
from pmsim.prices.meter import Price

__all__ = ["CATALOGUE", "Price", "PriceList", "Priced", "Sizes", "price_list"]
